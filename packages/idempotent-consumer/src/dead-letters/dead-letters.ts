import { answerOf, asAnswer, ask, askRows, run, unexpected } from '../ask.ts';
import { asError, reasonLengthMax, storableText } from '../reason.ts';
import type { RecordHeaders } from '../record.ts';
import { bytesOf, hashOf, headersAsJson, packHeaders } from '../retries/stored-record.ts';
import type { ConsumerTransaction } from '../transaction.ts';

/** Something that was given up on, with all that is needed to look at it and to try it again. */
export interface DeadLetter {
  /** null when the record did not say, or said something that cannot be stored. */
  readonly eventId: string | null;
  /** The logical consumer that gave up. */
  readonly consumerName: string;
  /** Where the record stands; null, like partition and offset, when it was not a record that failed. */
  readonly topic: string | null;
  readonly partition: number | null;
  /** Decimal. */
  readonly offset: string | null;
  /** The record's bytes, kept as they are up to `deadLetterBytesMax`. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: RecordHeaders;
  /** When the record was written, in milliseconds since 1970. */
  readonly timestampMs?: number | null;
  /** A JSON value in place of a record's bytes. */
  readonly payload: unknown;
  /** For people; at most 4,000 characters are kept. */
  readonly reason: string;
  /** How often it was tried. */
  readonly attempts: number;
  /** Which round of attempts failed, for letters without an offset; 1 unless told. */
  readonly round?: number;
  /** Its row in `scheduled_events`, decimal, where it has one. */
  readonly scheduledSeq?: string | null;
}

/** A dead letter with the id of its row. */
export interface StoredDeadLetter extends DeadLetter {
  readonly id: string;
}

/**
 * Is told of new dead letters, all of a transaction at once, in that transaction: what it writes there (outbox events,
 * say) stands exactly when the letters do. It may only write through `tx`; if it throws, nothing is stored and the
 * whole chunk is tried again later. Keys and values are cut after `deadLetterBytesMax` bytes.
 */
export interface DeadLetterSink<Tx extends ConsumerTransaction = ConsumerTransaction> {
  add(tx: Tx, deadLetters: readonly StoredDeadLetter[]): Promise<void>;
}

/** Bytes of a key, and of a value, that a dead letter keeps unless told otherwise. */
export const deadLetterBytesMaxDefault = 1 << 20;

/**
 * Stores a dead letter. One that is there already (same consumer and record; without an offset: same consumer, event
 * and round) is DEAD again, with this reason, number of attempts and time.
 * @returns whether the row is new
 */
export async function addDeadLetter(
  tx: ConsumerTransaction,
  letter: DeadLetter,
): Promise<{ isNew: boolean; id: string }> {
  const former = letter.offset === null ? undefined : await reviveFormer(tx, letter);
  if (former !== undefined) return { isNew: false, id: former };
  if (letter.offset !== null) await giveUpPlaces(tx, [letter]);
  const target =
    letter.offset === null
      ? `(worker_id, event_id, round) WHERE "offset" IS NULL`
      : `(worker_id, topic, "partition", "offset") WHERE "offset" IS NOT NULL`;
  // xmax is 0 in a row version that this statement inserted, and the updating transaction in one it replaced.
  const answer = (await ask(
    tx,
    `WITH stored AS (
       ${insertSql}
       ON CONFLICT ${target} DO UPDATE
       SET state = 'DEAD', reason = excluded.reason, attempts = excluded.attempts, failed_at = excluded.failed_at,
         decided_at = NULL
       RETURNING id, xmax = 0 AS is_new
     ) ${answerOf(`SELECT json_build_object('id', id, 'isNew', is_new) FROM stored`)}`,
    valuesOf([letter], deadLetterBytesMaxDefault),
  )) as { id?: unknown; isNew?: unknown } | null;
  if (typeof answer?.id !== 'string' || typeof answer.isNew !== 'boolean') throw unexpected('no dead letter');
  return { id: answer.id, isNew: answer.isNew };
}

/**
 * Stores the dead letters of records, leaves alone those that are there already, and returns the new ones. Another
 * record at the same place (the topic was made anew) does not count as there: its row gives up the place.
 */
export async function insertDeadLetters(
  tx: ConsumerTransaction,
  letters: readonly DeadLetter[],
  bytesMax = deadLetterBytesMaxDefault,
): Promise<StoredDeadLetter[]> {
  if (letters.length === 0) return [];
  const inserted = await insertNew(tx, letters, bytesMax);
  if (inserted.length === letters.length) return inserted;
  const known = new Set(inserted.map(placeOf));
  const others = letters.filter((letter) => !known.has(placeOf(letter)));
  if ((await giveUpPlaces(tx, others)) === 0) return inserted;
  return [...inserted, ...(await insertNew(tx, others, bytesMax))];
}

async function insertNew(
  tx: ConsumerTransaction,
  letters: readonly DeadLetter[],
  bytesMax: number,
): Promise<StoredDeadLetter[]> {
  const rows = await askRows<{ id: string; place: string }>(
    tx,
    `WITH stored AS (
       ${insertSql}
       ON CONFLICT (worker_id, topic, "partition", "offset") WHERE "offset" IS NOT NULL DO NOTHING
       RETURNING id, "partition" || ':' || "offset" || ':' || topic AS place
     ) ${asAnswer('SELECT id, place FROM stored')}`,
    valuesOf(letters, bytesMax),
  );
  const ids = new Map(rows.map(({ id, place }) => [place, id]));
  return letters.flatMap((letter) => {
    const id = ids.get(placeOf(letter));
    return id === undefined ? [] : [{ ...cut(letter, bytesMax), id }];
  });
}

const placeOf = ({ topic, partition, offset }: DeadLetter): string => `${partition}:${offset}:${topic}`;

/** Letters by what tells whether a row is of the same record. */
const recordsSql = `unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[], $8::jsonb[])
    AS l (worker_id, topic, "partition", "offset", record_hash, key, value, headers)`;

const recordValuesOf = (letters: readonly DeadLetter[]): unknown[] => [
  letters.map((letter) => letter.consumerName),
  letters.map((letter) => letter.topic),
  letters.map((letter) => letter.partition),
  letters.map((letter) => letter.offset),
  letters.map(hashOfLetter),
  letters.map((letter) => bytesOf(letter.key)),
  letters.map((letter) => bytesOf(letter.value)),
  letters.map((letter) => JSON.stringify(headersAsJson(letter.headers))),
];

/** Whether row and letter are of one record. Rows of older versions have no hash: there the bytes tell. */
const isSameRecord = (row: string): string => `CASE WHEN ${row}.record_hash IS NULL
    THEN ${row}.key IS NOT DISTINCT FROM l.key AND ${row}.value IS NOT DISTINCT FROM l.value AND ${row}.headers = l.headers
    ELSE ${row}.record_hash = l.record_hash END`;

/** Whether a row has given up the place of this letter, and is of the same record. */
const isFormerRow = (row: string): string => `${row}.worker_id = l.worker_id AND ${row}.topic = l.topic
    AND ${row}."partition" = l."partition" AND ${row}.former_place IS NOT NULL
    AND ${row}.former_place ->> 'offset' = l."offset"::text AND ${isSameRecord(row)}`;

/** A record that fails again after another had come to stand at its place. @returns the id of its row, if it has one */
async function reviveFormer(tx: ConsumerTransaction, letter: DeadLetter): Promise<string | undefined> {
  const reason = storableText(letter.reason.slice(0, reasonLengthMax));
  const [revived] = await askRows<{ id: string }>(
    tx,
    `WITH revived AS (
       UPDATE dead_letter_events d
       SET state = 'DEAD', reason = $9, attempts = $10, failed_at = clock_timestamp(), decided_at = NULL
       FROM ${recordsSql} WHERE ${isFormerRow('d')}
       RETURNING d.id
     ) ${asAnswer('SELECT id FROM revived')}`,
    [...recordValuesOf([letter]), reason, letter.attempts],
  );
  return revived?.id;
}

/**
 * Rows of other records leave the places of these letters, unless the letter's own row was there before them: a record
 * that comes again, because a cluster was switched back, say, changes nothing. @returns how many rows did
 */
async function giveUpPlaces(tx: ConsumerTransaction, letters: readonly DeadLetter[]): Promise<number> {
  const answer = await ask(
    tx,
    `WITH moved AS (
       UPDATE dead_letter_events d
       SET former_place = jsonb_build_object('offset', d."offset"::text, 'round', d.round), "offset" = NULL,
         -- The index of letters without an offset wants another round for each; the row's own id gives one.
         round = -1 - ('x' || substr(d.id::text, 1, 7))::bit(28)::int
       FROM ${recordsSql}
       WHERE d.worker_id = l.worker_id AND d.topic = l.topic AND d."partition" = l."partition"
         AND d."offset" = l."offset" AND NOT ${isSameRecord('d')}
         AND NOT EXISTS (SELECT FROM dead_letter_events f WHERE ${isFormerRow('f')})
       RETURNING 1
     ) ${answerOf('SELECT count(*) FROM moved')}`,
    recordValuesOf(letters),
  );
  return Number(answer);
}

/**
 * Tells the sink. A statement of its own that failed, and whose error it ignored, would have PostgreSQL roll back
 * everything at COMMIT without an error: the statement after it fails in such a transaction. And Kysely rolls nothing
 * back when it fails at reading what was thrown.
 */
export async function tellSink<Tx extends ConsumerTransaction>(
  sink: DeadLetterSink<Tx> | undefined,
  tx: Tx,
  letters: readonly StoredDeadLetter[],
): Promise<void> {
  if (sink === undefined || letters.length === 0) return;
  try {
    await sink.add(tx, letters);
  } catch (thrown) {
    throw asError(thrown);
  }
  await run(tx, 'SELECT 1');
}

/** Marks a dead letter as dealt with, when its scheduled event is. */
export async function settleDeadLetters(
  tx: ConsumerTransaction,
  scheduledSeq: string,
  state: 'DONE' | 'DISCARDED',
): Promise<void> {
  await run(
    tx,
    `UPDATE dead_letter_events SET state = $2::varchar, decided_at = clock_timestamp()
     WHERE scheduled_seq = $1::bigint AND state <> $2::varchar`,
    [scheduledSeq, state],
  );
}

/** A letter that was tried again has failed again. @returns whether there is one */
export async function reviveDeadLetter(
  tx: ConsumerTransaction,
  scheduledSeq: string,
  failed: { readonly reason: string; readonly attempts: number; readonly isUnscheduled?: boolean },
): Promise<boolean> {
  const answer = await ask(
    tx,
    `WITH revived AS (
       UPDATE dead_letter_events
       SET state = 'DEAD', reason = $2, attempts = $3, failed_at = clock_timestamp(), decided_at = NULL,
         scheduled_seq = CASE WHEN $4::boolean THEN NULL ELSE scheduled_seq END
       WHERE scheduled_seq = $1::bigint
       RETURNING id
     ) SELECT EXISTS (SELECT FROM revived)::text AS answer`,
    [
      scheduledSeq,
      storableText(failed.reason.slice(0, reasonLengthMax)),
      failed.attempts,
      failed.isUnscheduled === true,
    ],
  );
  return answer === true;
}

/** Rows in the order of their places, as everywhere. */
const insertSql = `
    INSERT INTO dead_letter_events
      (event_id, worker_id, topic, "partition", "offset", key, value, headers, payload, reason, attempts, round,
       record_hash, recorded_at_ms, headers_exact, value_bytes, scheduled_seq)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::bytea[], $7::bytea[],
      $8::jsonb[], $9::jsonb[], $10::text[], $11::int[], $12::int[], $13::bytea[], $14::bigint[], $15::bytea[],
      $16::int[], $17::bigint[]) AS l (event_id, worker_id, topic, "partition", "offset")
    ORDER BY l.worker_id, l.topic, l."partition", l."offset"`;

function valuesOf(letters: readonly DeadLetter[], bytesMax: number): unknown[] {
  const kept = letters.map((letter) => cut(letter, bytesMax));
  return [
    letters.map((letter) => letter.eventId),
    letters.map((letter) => letter.consumerName),
    letters.map((letter) => letter.topic),
    letters.map((letter) => letter.partition),
    letters.map((letter) => letter.offset),
    kept.map((letter) => bytesOf(letter.key)),
    kept.map((letter) => bytesOf(letter.value)),
    letters.map((letter) => JSON.stringify(headersAsJson(letter.headers))),
    letters.map((letter) => payloadAsJson(letter.payload)),
    letters.map((letter) => storableText(letter.reason.slice(0, reasonLengthMax))),
    letters.map((letter) => letter.attempts),
    letters.map((letter) => letter.round ?? 1),
    letters.map(hashOfLetter),
    letters.map((letter) => letter.timestampMs ?? null),
    letters.map((letter) => packHeaders(letter.headers)),
    letters.map((letter) => letter.value?.byteLength ?? null),
    letters.map((letter) => letter.scheduledSeq ?? null),
  ];
}

const cut = (letter: DeadLetter, bytesMax: number): DeadLetter => ({
  ...letter,
  key: letter.key?.subarray(0, bytesMax) ?? null,
  value: letter.value?.subarray(0, bytesMax) ?? null,
});

/** Only what stands on a topic can be taken for another record there. */
const hashOfLetter = (letter: DeadLetter): Uint8Array | null =>
  letter.offset === null ? null : hashOf({ ...letter, timestampMs: letter.timestampMs ?? null });

const payloadAsJson = (payload: unknown): string | null =>
  payload === null || payload === undefined ? null : JSON.stringify(payload, storableJson);

/** For JSON.stringify: jsonb refuses the escapes of what text cannot hold, in names as well as in values. */
function storableJson(_: string, value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storableText(name), inner]));
}
