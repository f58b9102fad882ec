import { bool, countRows, integer, orNull, readRow, readRows, run, text } from '../answers.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';
import { type OutboxRow, writtenBetween } from './outbox-rows.ts';

/** A row that no attempt will publish. */
export interface PoisonedRow {
  readonly row: OutboxRow;
  readonly error: Error;
}

/** The statements about rows that leave the hot read, and come back. */
export function createHeldRows(pool: PoolLike, names: OutboxNames, relayId: string) {
  /**
   * Makes rows dead letters, in one statement with what follows from it: they leave the hot read and, if `block`, their
   * aggregates are blocked. Not those of buckets that have gone to another owner or epoch meanwhile.
   * @returns how many
   */
  async function bury(poisoned: readonly PoisonedRow[], block: boolean): Promise<number> {
    return countRows(
      pool,
      `WITH poisoned AS (
         SELECT o.*, p.reason
         FROM unnest($2::smallint[], $3::integer[], $4::bigint[], $5::text[]) AS p (bucket, epoch, seq, reason)
         JOIN ${names.buckets} b ON b.bucket = p.bucket AND b.owner = $1 AND b.epoch = p.epoch
         JOIN ${names.outbox} o ON o.bucket = p.bucket AND o.seq = p.seq AND o.published_at IS NULL
           AND o.created_at BETWEEN to_timestamp($7) AND to_timestamp($8)
       ), held AS (
         UPDATE ${names.outbox} o SET held_at = clock_timestamp() FROM poisoned p
         WHERE o.seq = p.seq AND o.created_at = p.created_at
       ), blocked AS (
         INSERT INTO ${names.blocked} (bucket, aggregatetype, aggregateid, state)
         SELECT DISTINCT bucket, aggregatetype, aggregateid, 'BLOCKED' FROM poisoned WHERE $6::boolean
         ON CONFLICT (bucket, aggregatetype, aggregateid) DO UPDATE SET state = 'BLOCKED', since = clock_timestamp()
       )
       INSERT INTO ${names.deadLetters} AS d
         (seq, created_at, event_id, bucket, topic, key, type, aggregatetype, aggregateid, blocks, reason)
       SELECT seq, created_at, id, bucket, topic, key, type, aggregatetype, aggregateid, $6::boolean, reason
       FROM poisoned
       ON CONFLICT (seq) DO UPDATE SET
         state = 'DEAD', blocks = excluded.blocks, reason = excluded.reason, attempts = d.attempts + 1,
         failed_at = clock_timestamp(),
         history = d.history || jsonb_build_object('at', d.failed_at, 'action', 'FAILED', 'reason', d.reason)`,
      [
        relayId,
        poisoned.map(({ row }) => row.bucket),
        poisoned.map(({ row }) => row.epoch),
        poisoned.map(({ row }) => row.seq),
        poisoned.map(({ error }) => error.message),
        block,
        ...writtenBetween(poisoned.map(({ row }) => row)),
      ],
    );
  }

  /**
   * Moves rows of blocked aggregates and parked topics out of the hot read: those that were read, and none between them
   * which the read passed over, for earlier ones of the same topic would stay behind. Their entries are held meanwhile:
   * nobody can free one between the look at it and the move.
   */
  async function moveOut(rows: readonly OutboxRow[]): Promise<void> {
    for (const [bucket, ofBucket] of Map.groupBy(rows, (row) => row.bucket)) {
      await run(
        pool,
        `WITH blocked AS (
           SELECT bl.aggregatetype, bl.aggregateid
           FROM ${names.blocked} bl JOIN ${names.buckets} b ON b.bucket = bl.bucket AND b.owner = $1
           WHERE bl.bucket = $2::smallint
           FOR KEY SHARE OF bl
         ), parked AS (
           SELECT p.topic FROM ${names.parked} p JOIN ${names.buckets} b ON b.bucket = p.bucket AND b.owner = $1
           WHERE p.bucket = $2::smallint
           FOR KEY SHARE OF p
         )
         UPDATE ${names.outbox} o SET held_at = clock_timestamp()
         WHERE o.bucket = $2::smallint AND o.seq = ANY ($3::bigint[])
           AND o.created_at BETWEEN to_timestamp($4) AND to_timestamp($5)
           AND o.published_at IS NULL AND o.held_at IS NULL
           AND ((o.aggregatetype, o.aggregateid) IN (SELECT aggregatetype, aggregateid FROM blocked)
                OR o.topic IN (SELECT topic FROM parked))`,
        [relayId, bucket, ofBucket.map(({ seq }) => seq), ...writtenBetween(ofBucket)],
      );
    }
  }

  /**
   * Frees aggregates that have been redriven to the end.
   * @returns the topics that are parked in buckets of this relay, by whomever
   */
  async function look(buckets: readonly number[]): Promise<BucketTopic[]> {
    const rows = await readRows(
      pool,
      { bucket: orNull(integer), topic: orNull(text) },
      `WITH finished AS MATERIALIZED (SELECT ${names.finishRedrives}($1, $2::smallint[]))
       SELECT p.bucket, p.topic FROM finished
       LEFT JOIN (${names.parked} p JOIN ${names.buckets} b ON b.bucket = p.bucket AND b.owner = $1) ON true`,
      [relayId, buckets],
    );
    return rows.flatMap(({ bucket, topic }) =>
      bucket === null || topic === null ? [] : [{ bucket, topic }],
    );
  }

  /** From now on rows of these topics, which fail while others do not, are moved out of the hot read. */
  async function park(topics: readonly BucketTopic[]): Promise<void> {
    await run(
      pool,
      `INSERT INTO ${names.parked} (bucket, topic)
       SELECT t.bucket, t.topic FROM unnest($2::smallint[], $3::text[]) AS t (bucket, topic)
       JOIN ${names.buckets} b ON b.bucket = t.bucket AND b.owner = $1
       ON CONFLICT DO NOTHING`,
      [relayId, topics.map(({ bucket }) => bucket), topics.map(({ topic }) => topic)],
    );
  }

  /** @returns false if rows of the topic are still held */
  async function unpark({ bucket, topic }: BucketTopic): Promise<boolean> {
    const sql = `SELECT ${names.unpark}($1, $2::smallint, $3) AS done`;
    return (await readRow(pool, { done: bool }, sql, [relayId, bucket, topic])).done;
  }

  return { bury, moveOut, look, park, unpark };
}

/** A topic in one bucket. */
export interface BucketTopic {
  readonly bucket: number;
  readonly topic: string;
}

export type HeldRows = ReturnType<typeof createHeldRows>;

/**
 * Says when to look after what is held: after held rows were published, and now and then besides, for redrives that are
 * finished and for topics that another owner parked.
 */
export function createHeldRounds(
  held: Pick<HeldRows, 'look'>,
  onParked: (topics: readonly BucketTopic[]) => void,
  intervalMs: number,
) {
  let due = true;
  let lookedMs = 0;
  return {
    landed: () => {
      due = true;
    },
    async round(buckets: readonly number[]): Promise<void> {
      if (buckets.length === 0 || (!due && performance.now() - lookedMs < intervalMs)) return;
      due = false;
      lookedMs = performance.now();
      onParked(await held.look(buckets));
    },
  };
}
