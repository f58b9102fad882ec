/**
 * The planner must not choose by what it believes the table holds: statistics are of another time, and a partial index
 * that was empty when it was analysed looks free. It then reads whole buckets and sorts them, once for each bucket, to
 * find their first rows. With these settings, whatever it believes, every row is found by an index, in the order
 * of the index, and the plan is made once per connection, which with many partitions takes longer than the read.
 */
const byIndexOnly = [
  'plan_cache_mode = force_generic_plan',
  'enable_sort = off',
  'enable_seqscan = off',
  'enable_bitmapscan = off',
  'enable_hashjoin = off',
  'enable_mergejoin = off',
  'jit = off',
];

/** Clauses of a function. */
export const plannedByIndex = byIndexOnly.map((setting) => `SET ${setting}`).join(' ');

/**
 * Topics whose rows have left the hot read, per bucket: topics that fail while others do not. The index of held rows by
 * topic is empty as a rule, like the other one.
 */
const parkedTopics = [
  `
    CREATE TABLE outbox_parked (
      bucket smallint NOT NULL,
      topic text NOT NULL,
      since timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (bucket, topic)
    )`,
  `
    CREATE INDEX outbox_held_by_topic ON outbox (bucket, topic, seq)
    WHERE published_at IS NULL AND held_at IS NOT NULL`,
];

const columns = `o.seq, o.created_at, o.id, o.topic, o.key, o.headers, o.value,
                 CASE WHEN o.value IS NULL THEN o.payload::text END AS payload`;

/** Held rows that wait for their topic only. */
const ofParkedTopic = `o.published_at IS NULL AND o.held_at IS NOT NULL
             AND NOT EXISTS (
               SELECT FROM outbox_blocked bl
               WHERE bl.bucket = o.bucket AND bl.aggregatetype = o.aggregatetype AND bl.aggregateid = o.aggregateid)
             AND NOT EXISTS (SELECT FROM outbox_dead_letters d WHERE d.seq = o.seq AND d.state = 'DEAD')`;

/**
 * Gives a topic back to the hot read, unless a row of it is still held. The entry is locked before one looks for rows,
 * in a snapshot of its own: who moves rows out holds the entry, so that it has either finished or finds it gone.
 */
const unparkFunction = `
    CREATE FUNCTION outbox_unpark(relay text, of_bucket smallint, of_topic text) RETURNS boolean
    LANGUAGE plpgsql SET search_path FROM CURRENT ${plannedByIndex}
    AS $$
    BEGIN
      PERFORM FROM outbox_parked p JOIN outbox_buckets b ON b.bucket = p.bucket AND b.owner = relay
      WHERE p.bucket = of_bucket AND p.topic = of_topic FOR UPDATE OF p;
      IF NOT FOUND THEN RETURN true; END IF;
      DELETE FROM outbox_parked p
      WHERE p.bucket = of_bucket AND p.topic = of_topic AND NOT EXISTS (
        SELECT FROM outbox o WHERE o.bucket = p.bucket AND o.topic = p.topic AND ${ofParkedTopic});
      RETURN FOUND;
    END
    $$`;

const ownedBuckets = `FROM outbox_buckets owned WHERE owned.bucket = request.bucket AND owned.owner = relay`;

const hotRowsOfBucket = `o.bucket = request.bucket AND o.published_at IS NULL AND o.held_at IS NULL AND o.seq >= b.low_seq`;

/**
 * Nothing is blocked or parked, as a rule. It is a statement of its own because what a statement costs, before it finds
 * its first row, is every index of every partition that stands in it.
 */
const ordinaryRead = `
      SELECT b.bucket, b.epoch, r.seq, extract(epoch FROM r.created_at)::float8, r.id, r.topic, r.key,
             r.payload, r.value, r.headers, false, false
      FROM unnest(outbox_read.buckets) AS request (bucket)
      CROSS JOIN LATERAL (
        SELECT owned.* ${ownedBuckets}
        OFFSET 0 -- requests one after the other
      ) AS b
      CROSS JOIN LATERAL (
        SELECT ${columns} FROM outbox o WHERE ${hotRowsOfBucket} ORDER BY o.seq LIMIT limit_each
      ) r
      LIMIT limit_all`;

const readAroundHeldRows = `
      SELECT b.bucket, b.epoch, r.seq, extract(epoch FROM r.created_at)::float8, r.id, r.topic, r.key,
             r.payload, r.value, r.headers, r.held, r.blocked
      FROM unnest(outbox_read.buckets, outbox_read.topics, outbox_read.only_these) AS request (bucket, topics, only_these)
      CROSS JOIN LATERAL (
        SELECT owned.*, EXISTS (SELECT FROM outbox_blocked bl WHERE bl.bucket = request.bucket) AS has_blocked,
               EXISTS (SELECT FROM outbox_parked p WHERE p.bucket = request.bucket) AS has_parked,
               request.only_these AND EXISTS (
                 SELECT FROM outbox o
                 WHERE o.bucket = request.bucket AND o.topic = (request.topics::text[])[1] AND ${ofParkedTopic}
               ) AS has_held
        ${ownedBuckets}
        OFFSET 0 -- requests one after the other, and this asked once for each, not for every row
      ) AS b
      CROSS JOIN LATERAL (
        SELECT * FROM (
          (SELECT ${columns}, false AS held,
                  b.has_blocked AND EXISTS (
                    SELECT FROM outbox_blocked bl
                    WHERE bl.bucket = o.bucket AND bl.aggregatetype = o.aggregatetype AND bl.aggregateid = o.aggregateid
                  )
                  OR b.has_parked AND NOT request.only_these AND EXISTS (
                    SELECT FROM outbox_parked p WHERE p.bucket = o.bucket AND p.topic = o.topic
                  ) AS blocked
           FROM outbox o
           WHERE NOT b.has_held AND ${hotRowsOfBucket}
             AND (request.topics <> '{}' AND o.topic = ANY (request.topics::text[])) = request.only_these
           ORDER BY o.seq
           LIMIT limit_each)
          UNION ALL
          (SELECT held.*, true AS held, false AS blocked
           FROM outbox_blocked bl
           CROSS JOIN LATERAL (
             SELECT ${columns} FROM outbox o
             WHERE o.bucket = bl.bucket AND o.aggregatetype = bl.aggregatetype AND o.aggregateid = bl.aggregateid
               AND o.published_at IS NULL AND o.held_at IS NOT NULL
               AND (request.topics <> '{}' AND o.topic = ANY (request.topics::text[])) = request.only_these
               AND NOT EXISTS (SELECT FROM outbox_dead_letters d WHERE d.seq = o.seq AND d.state = 'DEAD')
               AND NOT EXISTS (SELECT FROM outbox_parked p WHERE p.bucket = o.bucket AND p.topic = o.topic)
             ORDER BY o.seq
             LIMIT limit_each
           ) held
           WHERE b.has_blocked AND bl.bucket = request.bucket AND bl.state = 'REDRIVING'
           ORDER BY held.seq
           LIMIT limit_each)
          UNION ALL
          (SELECT ${columns}, true AS held, false AS blocked
           FROM outbox o
           WHERE b.has_held AND o.topic = (request.topics::text[])[1]
             AND o.bucket = request.bucket AND ${ofParkedTopic}
           ORDER BY o.seq
           LIMIT limit_each)
        ) hot_and_held
        ORDER BY seq
        LIMIT limit_each
      ) r
      LIMIT limit_all`;

/**
 * Unpublished rows of buckets that the relay owns at this moment: for each request at most `limit_each`, of these topics
 * only or of all others, each bucket's by number; request after request, until there are `limit_all`. `topics` are
 * arrays as text, since arrays of arrays would have to be rectangular. Of a topic that is asked for by itself, held rows
 * come before any others. Rows of blocked aggregates and parked topics that are still in the hot index come as
 * `is_blocked`. Payloads come as text or bytes.
 * Volatile, though it changes nothing: a stable function reads in the snapshot of its caller, taken before it has the
 * table's lock. One that had waited for a change of the partitions would miss rows that have moved meanwhile, and find
 * later ones.
 */
const readFunction = `
    CREATE FUNCTION outbox_read(relay text, buckets smallint[], topics text[], only_these boolean[], limit_each integer, limit_all integer)
    RETURNS TABLE (bucket smallint, epoch integer, seq bigint, created_at_s float8, id uuid, topic text, key text,
                   payload text, value bytea, headers jsonb, is_held boolean, is_blocked boolean)
    LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT ${plannedByIndex} SET work_mem = '32MB'
    AS $$
    #variable_conflict use_column
    BEGIN
      IF '{}' = ALL (outbox_read.topics)
         AND NOT EXISTS (SELECT FROM outbox_blocked bl WHERE bl.bucket = ANY (outbox_read.buckets))
         AND NOT EXISTS (SELECT FROM outbox_parked p WHERE p.bucket = ANY (outbox_read.buckets)) THEN
        RETURN QUERY ${ordinaryRead};
      ELSE
        RETURN QUERY ${readAroundHeldRows};
      END IF;
    END
    $$`;

/**
 * Moves the low-water mark of the relay's buckets to the first row of each bucket's hot read (held rows never come back
 * to it), else behind `up_to`. When that may be called is said where it is called from.
 */
const lowWaterFunction = `
    CREATE FUNCTION outbox_advance_low_water(relay text, up_to bigint) RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT ${plannedByIndex}
    AS $$
    BEGIN
      UPDATE outbox_buckets b SET low_seq = found.low_seq
      FROM (SELECT m.bucket, m.epoch,
                   coalesce((SELECT o.seq FROM outbox o
                             WHERE o.bucket = m.bucket AND o.published_at IS NULL AND o.held_at IS NULL
                               AND o.seq >= m.low_seq AND o.seq <= up_to
                             ORDER BY o.seq LIMIT 1),
                            up_to + 1) AS low_seq
            FROM outbox_buckets m WHERE m.owner = relay) found
      WHERE b.bucket = found.bucket AND b.owner = relay AND b.epoch = found.epoch AND b.low_seq < found.low_seq;
    END
    $$`;

/** Unpublished rows of each bucket, counted up to `count_max`, and the age of the oldest of those. */
const backlogFunction = `
    CREATE FUNCTION outbox_backlog(count_max integer)
    RETURNS TABLE (bucket smallint, owner text, epoch integer, backlog integer, age_ms float8)
    LANGUAGE plpgsql STABLE SET search_path FROM CURRENT ${plannedByIndex}
    AS $$
    #variable_conflict use_column
    BEGIN
      RETURN QUERY
      SELECT b.bucket, b.owner, b.epoch, u.backlog::integer,
             (extract(epoch FROM clock_timestamp() - u.oldest) * 1000)::float8
      FROM outbox_buckets b
      CROSS JOIN LATERAL (
        SELECT count(*) AS backlog, min(created_at) AS oldest
        FROM ((SELECT o.created_at FROM outbox o
               WHERE o.bucket = b.bucket AND o.published_at IS NULL AND o.held_at IS NULL AND o.seq >= b.low_seq
               ORDER BY o.seq LIMIT count_max)
              UNION ALL
              (SELECT held.created_at FROM outbox_parked p
               CROSS JOIN LATERAL (
                 SELECT o.created_at FROM outbox o
                 WHERE o.bucket = p.bucket AND o.topic = p.topic AND o.published_at IS NULL AND o.held_at IS NOT NULL
                 ORDER BY o.seq LIMIT count_max
               ) held
               WHERE p.bucket = b.bucket LIMIT count_max)) counted
      ) u;
    END
    $$`;

/** Expand. */
export const addReads: readonly string[] = [
  ...parkedTopics,
  readFunction,
  unparkFunction,
  lowWaterFunction,
  backlogFunction,
];
