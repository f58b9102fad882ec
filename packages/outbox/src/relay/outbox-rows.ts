import {
  bool,
  bytes,
  digits,
  integer,
  json,
  orNull,
  type RowOf,
  readRow,
  readRows,
  real,
  text,
} from '../answers.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';
import type { OutboundRecord } from '../publisher.ts';

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

/** What to read of one bucket: the rows of these topics only, or of all others. */
export interface ReadRequest {
  readonly bucket: number;
  readonly topics: readonly string[];
  readonly only: boolean;
}

/** What a read found. */
export interface Found {
  readonly rows: readonly OutboxRow[];
  /** The requests of which there are all rows up to their limit. */
  readonly answered: readonly ReadRequest[];
}

/** The two statements of publishing. */
export function createOutboxRows(pool: PoolLike, names: OutboxNames, relayId: string) {
  /**
   * Unpublished rows of buckets that this relay owns at this moment, each bucket's by number; at most `limitEach` per
   * request, and `limitAll` together: the last requests may not have their turn. Rows of blocked aggregates that are
   * still in the hot index come as `blocked`. Payloads come as text or bytes and are not parsed.
   */
  async function read(requests: readonly ReadRequest[], limitEach: number, limitAll: number): Promise<Found> {
    const rows = await readRows(
      pool,
      rowColumns,
      `SELECT ${rowSql} FROM ${names.read}($1, $2::smallint[], $3::text[], $4::boolean[], $5::integer, $6::integer)`,
      [
        relayId,
        literalOf(requests.map((request) => request.bucket)),
        literalOf(requests.map((request) => literalOf(request.topics))),
        literalOf(requests.map((request) => request.only)),
        limitEach,
        limitAll,
      ],
    );
    const isCutOff = rows.length >= limitAll;
    const reached = isCutOff ? requests.findIndex(({ bucket }) => bucket === rows.at(-1)?.bucket) : undefined;
    // What a function returns comes in its order, though nothing in SQL says so: sorting what is sorted costs little.
    return { rows: rows.map(rowOf).sort(byBucketAndNumber), answered: requests.slice(0, reached) };
  }

  /**
   * Marks rows as published, except those of buckets that have gone to another owner or epoch meanwhile.
   * @param published in order of bucket
   * @param isRepeated whether they may be marked already, by a statement whose answer was lost
   * @returns how many are marked by this relay
   */
  async function mark(published: readonly OutboxRow[], isRepeated = false): Promise<number> {
    const batches = batchesOf(published);
    const { marked } = await readRow(
      pool,
      { marked: integer },
      `SELECT ${names.mark}($1, $2::smallint[], $3::integer[], $4::text[], $5, $6) AS marked`,
      [
        relayId,
        literalOf(batches.map((batch) => batch.bucket)),
        literalOf(batches.map((batch) => batch.epoch)),
        literalOf(batches.map((batch) => `{${batch.seqs.join(',')}}`)),
        ...writtenBetween(published),
      ],
    );
    return isRepeated && marked < published.length ? countOwned(batches) : marked;
  }

  /** Rows whose bucket is still ours under the same epoch: nobody else marks those, so after a mark all of them are. */
  async function countOwned(batches: readonly Batch[]): Promise<number> {
    const { owned } = await readRow(
      pool,
      { owned: integer },
      `SELECT coalesce(sum(p.rows), 0)::integer AS owned
       FROM unnest($2::smallint[], $3::integer[], $4::integer[]) AS p (bucket, epoch, rows)
       JOIN ${names.buckets} b ON b.bucket = p.bucket AND b.owner = $1 AND b.epoch = p.epoch`,
      [
        relayId,
        literalOf(batches.map((batch) => batch.bucket)),
        literalOf(batches.map((batch) => batch.epoch)),
        literalOf(batches.map((batch) => batch.seqs.length)),
      ],
    );
    return owned;
  }

  return { read, mark };
}

export type OutboxRows = ReturnType<typeof createOutboxRows>;

/** Numbers of rows of one bucket and epoch. */
type Batch = { bucket: number; epoch: number; seqs: string[] };

function batchesOf(rows: readonly OutboxRow[]): Batch[] {
  const batches: Batch[] = [];
  for (const { bucket, epoch, seq } of rows) {
    const last = batches.at(-1);
    if (last?.bucket === bucket && last.epoch === epoch) last.seqs.push(seq);
    else batches.push({ bucket, epoch, seqs: [seq] });
  }
  return batches;
}

/** For the partitions: only those of this time, in seconds, are looked into. A millisecond for the rounding. */
export function writtenBetween(rows: readonly OutboxRow[]): [number, number] {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const { createdAtS } of rows) {
    if (createdAtS < first) first = createdAtS;
    if (createdAtS > last) last = createdAtS;
  }
  return [first - 0.001, last + 0.001];
}

const rowColumns = {
  bucket: integer,
  epoch: integer,
  seq: digits,
  created_at_s: real,
  id: text,
  topic: text,
  key: text,
  payload: orNull(text),
  value: orNull(bytes),
  headers: json,
  is_held: bool,
  is_blocked: bool,
};

const rowSql =
  'bucket, epoch, seq, created_at_s, id, topic, key, payload, value, headers::text AS headers, is_held, is_blocked';

function rowOf(row: RowOf<typeof rowColumns>): OutboxRow {
  const { bucket, epoch, seq, id, topic, key } = row;
  const value = (row.value ?? row.payload) as Uint8Array | string; // never both null, see outbox_read
  const record: OutboundRecord = { id, topic, key, value, headers: row.headers as Record<string, string> };
  const { created_at_s: createdAtS, is_blocked: blocked, is_held: held } = row;
  return { bucket, epoch, seq, createdAtS, record, blocked, held };
}

const byBucketAndNumber = (a: OutboxRow, b: OutboxRow): number =>
  a.bucket - b.bucket || a.seq.length - b.seq.length || (a.seq < b.seq ? -1 : 1);

/**
 * An array as PostgreSQL reads it. Arrays in arrays are text there, since otherwise they would have to be rectangular;
 * and pg takes longer to write 64 short ones than the database to read them.
 */
function literalOf(items: readonly (string | number | boolean)[]): string {
  return `{${items.map((item) => (typeof item === 'string' ? quoted(item) : item)).join(',')}}`;
}

const quoted = (text: string): string => (text === '{}' ? '"{}"' : `"${text.replaceAll(/["\\]/g, '\\$&')}"`);
