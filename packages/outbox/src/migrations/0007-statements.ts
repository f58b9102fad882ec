import { plannedByIndex } from './0005-reads.ts';

/**
 * A function's statement is planned once per connection, whoever sends it: a tool that has no names for statements, a
 * pooler that gives every transaction another connection. Planning these takes longer than running them.
 *
 * Adds events in the order in which they are given.
 */
const addFunction = `
    CREATE FUNCTION outbox_add(ids uuid[], topics text[], keys text[], types text[], aggregate_types text[],
                               aggregate_ids text[], payloads text[], "values" bytea[], headers text[])
    RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan
    AS $$
    BEGIN
      INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, value, headers)
      SELECT e.id, get_byte(sha256(convert_to(e.key, 'UTF8')), 0) % 64, e.topic, e.key, e.type, e.aggregatetype,
             e.aggregateid, e.payload::jsonb, e.value, e.headers::jsonb
      FROM unnest(ids, topics, keys, types, aggregate_types, aggregate_ids, payloads, "values", outbox_add.headers)
        WITH ORDINALITY AS e (id, topic, key, type, aggregatetype, aggregateid, payload, value, headers, n)
      ORDER BY e.n;
    END
    $$`;

/**
 * Marks rows as published, except those of buckets that have gone to another owner or epoch meanwhile. Does not wait
 * for the disk: marks that a crash of the server undoes are the latest ones, and their events are published again.
 * `first_s` and `last_s`, seconds, are for the partitions: only those of this time are looked into.
 */
const markFunction = `
    CREATE FUNCTION outbox_mark(relay text, buckets smallint[], epochs integer[], seqs text[], first_s float8, last_s float8)
    RETURNS integer
    LANGUAGE plpgsql SET search_path FROM CURRENT ${plannedByIndex}
    AS $$
    DECLARE
      ours bigint[];
      marked integer;
    BEGIN
      PERFORM set_config('synchronous_commit', 'off', true);
      SELECT array_agg(of_batch.seq) INTO ours
      FROM unnest(buckets, epochs, seqs) AS acknowledged (bucket, epoch, seqs)
      JOIN outbox_buckets b ON b.bucket = acknowledged.bucket AND b.owner = relay AND b.epoch = acknowledged.epoch
      CROSS JOIN LATERAL unnest(acknowledged.seqs::bigint[]) AS of_batch (seq);
      UPDATE outbox o SET published_at = clock_timestamp()
      WHERE o.seq = ANY (ours) AND o.published_at IS NULL
        AND o.created_at BETWEEN to_timestamp(first_s) AND to_timestamp(last_s);
      GET DIAGNOSTICS marked = ROW_COUNT;
      RETURN marked;
    END
    $$`;

/** Expand. */
export const addStatements: readonly string[] = [addFunction, markFunction];
