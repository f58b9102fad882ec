/**
 * `xid` stands before `seq`: defaults are evaluated in the order of columns, so that a transaction owns its id before
 * it draws a number, which the low-water mark relies on; for the same reason the sequence caches nothing.
 * `created_at` is the clock's time, not the transaction's: a row lands in the partition of when it was written.
 * A sequence rather than an identity column, which partitioned tables have since PostgreSQL 17 only.
 */
const outboxTable = [
  `CREATE SEQUENCE outbox_seq AS bigint CACHE 1`,
  `
    CREATE TABLE outbox (
      xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      seq bigint NOT NULL DEFAULT nextval('outbox_seq'),
      id uuid NOT NULL,
      bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 63),
      topic text NOT NULL,
      key text NOT NULL,
      type text NOT NULL,
      aggregatetype text NOT NULL,
      aggregateid text NOT NULL,
      payload jsonb NOT NULL,
      value bytea,
      headers jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      published_at timestamptz,
      PRIMARY KEY (seq, created_at)
    ) PARTITION BY RANGE (created_at)`,
  `ALTER SEQUENCE outbox_seq OWNED BY outbox.seq`,
  `CREATE INDEX outbox_unpublished ON outbox (bucket, seq) WHERE published_at IS NULL`,
  // Takes what no other partition takes, so that writers never depend on the relay having made one in time.
  `CREATE TABLE outbox_default PARTITION OF outbox DEFAULT`,
];

/**
 * Makes the partitions (one per day, UTC) of today and the coming days, and says how many it made. A partition is
 * created first and attached then, which lets writers go on; attaching still has to look into the default partition,
 * so it waits for that lock only briefly and is tried again later. A day whose first rows are in the default
 * partition already keeps living there.
 */
const partitionFunction = [
  `
    CREATE FUNCTION outbox_create_partitions(days_ahead integer) RETURNS integer
    LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '200ms' SET timezone = 'UTC'
    AS $$
    DECLARE
      today date := clock_timestamp()::date;
      day date;
      partition_name text;
      created integer := 0;
    BEGIN
      -- Several relays start at once: one creates, the others come back later.
      IF NOT pg_try_advisory_xact_lock(hashtextextended('outbox_create_partitions', 'outbox'::regclass::oid::bigint)) THEN
        RETURN 0;
      END IF;
      FOR day IN SELECT today + n FROM generate_series(0, days_ahead) AS n LOOP
        partition_name := 'outbox_p' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM outbox_default WHERE created_at >= day AND created_at < day + 1);
        EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition_name);
        EXECUTE format('ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       partition_name, day::timestamptz, (day + 1)::timestamptz);
        created := created + 1;
      END LOOP;
      RETURN created;
    END
    $$`,
  `SELECT outbox_create_partitions(7)`,
];

/**
 * An owner is always a registered relay: deleting the row of a dead one frees its buckets in the same instant.
 * `epoch` rises whenever a bucket gets an owner.
 */
const leases = [
  `
    CREATE TABLE outbox_relays (
      id text PRIMARY KEY,
      heartbeat_at timestamptz NOT NULL,
      lease_until timestamptz NOT NULL
    )`,
  `
    CREATE TABLE outbox_buckets (
      bucket smallint PRIMARY KEY CHECK (bucket BETWEEN 0 AND 63),
      owner text REFERENCES outbox_relays (id) ON DELETE SET NULL,
      epoch integer NOT NULL DEFAULT 0,
      low_seq bigint NOT NULL DEFAULT 0
    )`,
  `INSERT INTO outbox_buckets (bucket) SELECT generate_series(0, 63)`,
];

/** Expand. */
export const createOutboxTables: readonly string[] = [...outboxTable, ...partitionFunction, ...leases];
