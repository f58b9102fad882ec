/**
 * Storage parameters of a partition: in the time between two vacuums the index of unpublished rows collects an entry
 * for every row that has been published. Measured in the README.
 */
export const partitionStorage =
  'autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.05';

/** Bounds are read from what the catalogue shows, which is the same text in any session thanks to the settings. */
const partitionsFunction = `
    CREATE FUNCTION outbox_partitions()
    RETURNS TABLE (partition text, lower_bound timestamptz, upper_bound timestamptz, is_default boolean)
    LANGUAGE sql STABLE SET search_path FROM CURRENT SET timezone = 'UTC' SET datestyle = 'ISO'
    AS $$
      SELECT format('%I.%I', n.nspname, c.relname),
             substring(b.bounds FROM 'FROM \\(''([^'']+)''\\)')::timestamptz,
             substring(b.bounds FROM 'TO \\(''([^'']+)''\\)')::timestamptz,
             b.bounds = 'DEFAULT'
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) b
      WHERE i.inhparent = 'outbox'::regclass
      ORDER BY 2
    $$`;

/**
 * `outbox_maintenance`: whoever moves `next_at` on does the round of that interval, so that one relay at a time makes
 * and drops partitions, whichever are alive. `outbox_retired`: default partitions that were taken out of the table.
 */
const tables = [
  `
    CREATE TABLE outbox_maintenance (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      relay text,
      next_at timestamptz NOT NULL DEFAULT '-infinity'
    )`,
  `INSERT INTO outbox_maintenance DEFAULT VALUES`,
  `
    CREATE TABLE outbox_retired (
      table_name text PRIMARY KEY,
      retired_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`,
];

const storage = `
    DO $$
    DECLARE
      name text;
    BEGIN
      FOR name IN SELECT partition FROM outbox_partitions() LOOP
        EXECUTE format('ALTER TABLE %s SET (${partitionStorage})', name);
      END LOOP;
    END
    $$`;

/** Expand. */
export const addRetention: readonly string[] = [partitionsFunction, ...tables, storage];
