import { sql } from 'kysely';
import type { RecordHeaders } from './record.ts';
import { assertTransaction, type ConsumerTransaction } from './transaction.ts';

/** Something that was given up on, with all that is needed to look at it and to try it again. */
export interface DeadLetter {
  /** null when the record did not say, or said something that cannot be stored. */
  readonly eventId: string | null;
  /** The logical consumer that gave up. */
  readonly workerId: string;
  /** Where the record stands; null, like partition and offset, when it was not a record that failed. */
  readonly topic: string | null;
  readonly partition: number | null;
  /** Decimal. */
  readonly offset: string | null;
  /** The record's bytes, kept as they are. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: RecordHeaders;
  /** A JSON value in place of a record's bytes. */
  readonly payload: unknown;
  /** For people; at most {@link reasonLengthMax} characters are kept. */
  readonly reason: string;
  /** How often it was tried. */
  readonly attempts: number;
  /** Which round of attempts failed, for letters without an offset; 1 unless told. */
  readonly round?: number;
}

/**
 * Is told of every new dead letter, in the transaction that stores it: what it writes there (an outbox event, say)
 * stands exactly when the letter does. It may only write through `tx`; if it throws, nothing is stored and the
 * whole chunk is tried again later.
 */
export interface DeadLetterSink<Tx extends ConsumerTransaction = ConsumerTransaction> {
  add(tx: Tx, deadLetter: DeadLetter): Promise<void>;
}

/** Characters of a reason that are kept. */
export const reasonLengthMax = 4000;

/**
 * Stores a dead letter. One that is there already (same worker and record; without an offset: same worker, event and
 * round) is DEAD again, with this reason, number of attempts and time.
 * @returns whether the row is new
 */
export async function addDeadLetter(
  tx: ConsumerTransaction,
  letter: DeadLetter,
): Promise<{ isNew: boolean }> {
  assertTransaction(tx);
  const target =
    letter.offset === null
      ? sql`(worker_id, event_id, round) WHERE "offset" IS NULL`
      : sql`(worker_id, topic, "partition", "offset") WHERE "offset" IS NOT NULL`;
  // xmax is 0 in a row version that this statement inserted, and the updating transaction in one it replaced.
  const { rows } = await sql<{ is_new: boolean }>`
    ${insertOf([letter])}
    ON CONFLICT ${target} DO UPDATE
    SET state = 'DEAD', reason = excluded.reason, attempts = excluded.attempts, failed_at = excluded.failed_at
    RETURNING xmax = 0 AS is_new`.execute(tx);
  return { isNew: rows[0]?.is_new === true };
}

/** Stores the dead letters of records, leaves alone those that are there already, and returns the new ones. */
export async function insertDeadLetters(
  tx: ConsumerTransaction,
  letters: readonly DeadLetter[],
): Promise<DeadLetter[]> {
  if (letters.length === 0) return [];
  const { rows } = await sql<{ place: string }>`
    ${insertOf(letters)}
    ON CONFLICT (worker_id, topic, "partition", "offset") WHERE "offset" IS NOT NULL DO NOTHING
    RETURNING "partition" || ':' || "offset" || ':' || topic AS place`.execute(tx);
  const isNew = new Set(rows.map((row) => row.place));
  return letters.filter((letter) => isNew.has(`${letter.partition}:${letter.offset}:${letter.topic}`));
}

/** Rows in the order of their places, as everywhere. */
function insertOf(letters: readonly DeadLetter[]) {
  return sql`
    INSERT INTO dead_letter_events
      (event_id, worker_id, topic, "partition", "offset", key, value, headers, payload, reason, attempts, round)
    SELECT * FROM unnest(
      ${letters.map((letter) => letter.eventId)}::text[],
      ${letters.map((letter) => letter.workerId)}::text[],
      ${letters.map((letter) => letter.topic)}::text[],
      ${letters.map((letter) => letter.partition)}::int[],
      ${letters.map((letter) => letter.offset)}::bigint[],
      ${letters.map((letter) => bytesOf(letter.key))}::bytea[],
      ${letters.map((letter) => bytesOf(letter.value))}::bytea[],
      ${letters.map((letter) => JSON.stringify(headersAsJson(letter.headers)))}::jsonb[],
      ${letters.map((letter) => payloadAsJson(letter.payload))}::jsonb[],
      ${letters.map((letter) => storableText(letter.reason.slice(0, reasonLengthMax)))}::text[],
      ${letters.map((letter) => letter.attempts)}::int[],
      ${letters.map((letter) => letter.round ?? 1)}::int[]
    ) AS l (event_id, worker_id, topic, "partition", "offset")
    ORDER BY l.worker_id, l.topic, l."partition", l."offset"`;
}

const bytesOf = (bytes: Uint8Array | null) =>
  bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const payloadAsJson = (payload: unknown): string | null =>
  payload === null || payload === undefined ? null : JSON.stringify(payload, storableJson);

/** For JSON.stringify: jsonb refuses the escapes of what text cannot hold, in names as well as in values. */
function storableJson(_: string, value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storableText(name), inner]));
}

/** Text as PostgreSQL can hold it: U+0000 is written as `\0`, a lone surrogate becomes U+FFFD. */
export function storableText(text: string): string {
  return text.replaceAll('\u0000', '\\0').toWellFormed();
}

type HeaderJson = string | { base64: string };

/**
 * Headers as JSON: text where a value is UTF-8 that PostgreSQL can hold, else `{ "base64": … }`; a list where a
 * name repeats.
 */
export function headersAsJson(headers: RecordHeaders): Record<string, HeaderJson | HeaderJson[]> {
  const json: Record<string, HeaderJson | HeaderJson[]> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    json[storableText(name)] = isList(value) ? value.map(headerAsJson) : headerAsJson(value);
  }
  return json;
}

const isList = (value: NonNullable<RecordHeaders[string]>): value is readonly (Uint8Array | string)[] =>
  Array.isArray(value);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function headerAsJson(value: Uint8Array | string): HeaderJson {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  try {
    const text = utf8.decode(bytes);
    if (!text.includes('\u0000')) return text;
  } catch {
    // Not UTF-8, so not text: kept as bytes.
  }
  return { base64: Buffer.from(bytes).toString('base64') };
}
