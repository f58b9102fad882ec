import type { OutboxNames, PoolLike } from '../postgres.ts';
import type { OutboundRecord } from '../publisher.ts';
import type { ReadRequest } from './lanes.ts';

/** An unpublished row, with what is needed to mark it. `seq` is a bigint as text. */
export interface OutboxRow {
  readonly bucket: number;
  readonly epoch: number;
  readonly seq: string;
  /** Seconds since 1970. */
  readonly createdAtS: number;
  readonly record: OutboundRecord;
  /** Whether it waits behind a dead letter; then it must not be published. */
  readonly blocked: boolean;
  /** Whether it was held and is now being redriven. */
  readonly held: boolean;
}

const columns = `o.seq, o.created_at, o.id, o.topic, o.key, o.headers, o.value,
                   CASE WHEN o.value IS NULL THEN o.payload::text END AS payload`;

/** The two statements of publishing. */
export function createOutboxRows(pool: PoolLike, names: OutboxNames, relayId: string) {
  /**
   * Unpublished rows of buckets that this relay owns at this moment, in order of bucket and number; at most
   * `limitEach` per request. Rows of blocked aggregates that are still in the hot index come as `blocked`. Payloads come as text or bytes and are not parsed.
   */
  async function read(requests: readonly ReadRequest[], limitEach: number): Promise<OutboxRow[]> {
    const { rows } = await pool.query(
      `SELECT b.bucket, b.epoch, r.seq::text AS seq, extract(epoch FROM r.created_at)::float8 AS created_at_s, r.id, r.topic, r.key, r.payload,
              r.value, r.headers, r.held, r.blocked
       FROM unnest($2::smallint[], $3::text[], $4::boolean[]) AS request (bucket, topics, only_these)
       JOIN ${names.buckets} b ON b.bucket = request.bucket AND b.owner = $1
       CROSS JOIN LATERAL (
         SELECT * FROM (
           (SELECT ${columns}, false AS held,
                   EXISTS (SELECT FROM ${names.blocked} bl
                           WHERE bl.bucket = o.bucket AND bl.aggregatetype = o.aggregatetype
                             AND bl.aggregateid = o.aggregateid) AS blocked
            FROM ${names.outbox} o
            WHERE o.bucket = request.bucket AND o.published_at IS NULL AND o.held_at IS NULL AND o.seq >= b.low_seq
              AND (o.topic = ANY (request.topics::text[])) = request.only_these
            ORDER BY o.seq
            LIMIT $5)
           UNION ALL
           (SELECT held.*, true AS held, false AS blocked
            FROM ${names.blocked} bl
            CROSS JOIN LATERAL (
              SELECT ${columns} FROM ${names.outbox} o
              WHERE o.bucket = bl.bucket AND o.aggregatetype = bl.aggregatetype AND o.aggregateid = bl.aggregateid
                AND o.published_at IS NULL AND o.held_at IS NOT NULL
                AND (o.topic = ANY (request.topics::text[])) = request.only_these
                AND NOT EXISTS (SELECT FROM ${names.deadLetters} d WHERE d.seq = o.seq AND d.state = 'DEAD')
              ORDER BY o.seq
              LIMIT $5
            ) held
            WHERE bl.bucket = request.bucket AND bl.state = 'REDRIVING'
            ORDER BY held.seq
            LIMIT $5)
         ) hot_and_redriven
         ORDER BY seq
         LIMIT $5
       ) r
       ORDER BY b.bucket, r.seq`,
      [
        relayId,
        requests.map((request) => request.bucket),
        requests.map((request) => arrayLiteral(request.topics)),
        requests.map((request) => request.only),
        limitEach,
      ],
    );
    return rows.map(rowOf);
  }

  /**
   * Marks rows as published, except those of buckets that have gone to another owner or epoch meanwhile.
   * @returns how many were marked
   */
  async function mark(rows: readonly OutboxRow[]): Promise<number> {
    const { rowCount } = await pool.query(
      `UPDATE ${names.outbox} o SET published_at = clock_timestamp()
       FROM unnest($2::smallint[], $3::integer[], $4::bigint[]) AS acknowledged (bucket, epoch, seq)
       JOIN ${names.buckets} b ON b.bucket = acknowledged.bucket
         AND b.owner = $1 AND b.epoch = acknowledged.epoch
       WHERE o.bucket = acknowledged.bucket AND o.seq = acknowledged.seq AND o.published_at IS NULL
         AND o.created_at BETWEEN to_timestamp($5) AND to_timestamp($6)`,
      [
        relayId,
        rows.map((row) => row.bucket),
        rows.map((row) => row.epoch),
        rows.map((row) => row.seq),
        ...writtenBetween(rows),
      ],
    );
    return rowCount ?? 0;
  }

  return { read, mark };
}

export type OutboxRows = ReturnType<typeof createOutboxRows>;

/** For the partitions: only those of this time, in seconds, are looked into. A millisecond for the rounding. */
export function writtenBetween(rows: readonly OutboxRow[]): [number, number] {
  const times = rows.map((row) => row.createdAtS);
  return [Math.min(...times) - 0.001, Math.max(...times) + 0.001];
}

function rowOf(row: Record<string, unknown>): OutboxRow {
  const record: OutboundRecord = {
    id: String(row.id),
    topic: String(row.topic),
    key: String(row.key),
    value: (row.value ?? row.payload) as Uint8Array | string,
    headers: row.headers as Record<string, string>,
  };
  return {
    bucket: Number(row.bucket),
    epoch: Number(row.epoch),
    seq: String(row.seq),
    createdAtS: Number(row.created_at_s),
    record,
    blocked: Boolean(row.blocked),
    held: Boolean(row.held),
  };
}

/** A text[] as text: arrays of arrays would have to be rectangular. */
function arrayLiteral(items: readonly string[]): string {
  return `{${items.map((item) => `"${item.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
}
