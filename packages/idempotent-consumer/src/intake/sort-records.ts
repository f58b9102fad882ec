import { createHash } from 'node:crypto';
import { kindOf, reasonOf, storableText } from '../reason.ts';
import type { ConsumedRecord, Decode, Decoded } from '../record.ts';
import { isTransient } from '../transient.ts';

/** A record that holds an event. */
export interface DecodedEvent<E> {
  readonly record: ConsumedRecord;
  /** The key of the inbox: the producer's id, or made of it and what tells its producers apart. */
  readonly id: string;
  readonly event: E;
  readonly orderingKey: string;
}

/** A record that holds none, and why; `eventId` is whatever it claims to be, if it can be stored. */
export interface InvalidRecord {
  readonly record: ConsumedRecord;
  readonly reason: string;
  /** The reason without anything that may have come out of the record, for logs. */
  readonly loggedReason: string;
  readonly eventId: string | null;
}

/** The records of one chunk, told apart. `events` and `invalid` keep the order of the partition. */
export interface SortedRecords<E> {
  readonly events: readonly DecodedEvent<E>[];
  readonly invalid: readonly InvalidRecord[];
  readonly skipped: number;
}

/** What tells events apart: the id alone, or together with the topic, or with the `source` that `decode` gives. */
export type EventIdentity = 'id' | 'topic' | 'source';

/** How records are read. */
export interface Reading<E> {
  readonly decode: Decode<E>;
  /** Unless said: with its source where `decode` gives one, else the id alone. */
  readonly identity?: EventIdentity | undefined;
  /** Events of one key are handled in order; null is a key of its own. The record's key unless given. */
  readonly orderingKey?: ((event: E, record: ConsumedRecord) => string | null) | undefined;
}

/** Longest event id, and source, in UTF-16 units: with its consumer name it has to fit into one index entry. */
export const eventIdLengthMax = 256;
/** Longest key of the inbox that is made of an id and a source or topic. */
export const inboxIdLengthMax = 2 * eventIdLengthMax;
/** A longer ordering key is stored as its hash. */
const orderingKeyLengthMax = 200;

/** Tells the records of a chunk apart. @throws what `decode` threw, if that is transient */
export async function sortRecords<E>(
  records: readonly ConsumedRecord[],
  reading: Reading<E>,
): Promise<SortedRecords<E>> {
  const events: DecodedEvent<E>[] = [];
  const invalid: InvalidRecord[] = [];
  for (const record of records) {
    const reads = readRecord(record, reading);
    // Most decoders are synchronous, and an `await` for each of 500 records is not free.
    const read = reads instanceof Promise ? await reads : reads;
    if (read === undefined) continue;
    if ('orderingKey' in read) events.push(read);
    else invalid.push(read);
  }
  return { events, invalid, skipped: records.length - events.length - invalid.length };
}

type Read<E> = DecodedEvent<E> | InvalidRecord | undefined;

/**
 * What `decode` throws makes a record invalid, unless it is about the moment: a schema registry that cannot be reached is
 * no fault of the record. A promise only where `decode` gives one.
 * @returns undefined for a record of a type that is not handled
 * @throws what `decode` threw, if that is transient
 */
export function readRecord<E>(record: ConsumedRecord, reading: Reading<E>): Read<E> | Promise<Read<E>> {
  const undecodable = (error: unknown): InvalidRecord => {
    if (isTransient(error)) throw error;
    return failed(record, 'decode', error);
  };
  try {
    const answer = reading.decode(record);
    if (!isThenable(answer)) return readDecoded(record, answer, reading);
    return Promise.resolve(answer)
      .then((decoded) => readDecoded(record, decoded, reading))
      .catch(undecodable);
  } catch (error) {
    return undecodable(error);
  }
}

function readDecoded<E>(
  record: ConsumedRecord,
  decoded: Decoded<E> | null | undefined,
  { identity: said, orderingKey }: Reading<E>,
): Read<E> {
  switch (decoded?.kind) {
    case 'skip':
      return undefined;
    case 'invalid': {
      const reason = storableText(String(decoded.reason)) || 'decode gave no reason';
      return invalid(record, reason, decoded.eventId);
    }
    case 'event': {
      const problem = eventIdProblem(decoded.id) ?? sourceProblem(said, decoded.source);
      if (problem !== undefined) return invalid(record, problem);
      const { event } = decoded;
      const id = inboxId(said, { id: decoded.id, source: decoded.source, topic: record.topic });
      if (id.length > inboxIdLengthMax) return invalid(record, 'event id and source are too long together');
      try {
        const key = orderingKey === undefined ? keyOfRecord(record) : givenKey(orderingKey(event, record));
        return { record, id, event, orderingKey: key ?? `event:${id}` };
      } catch (error) {
        return failed(record, 'orderingKey', error);
      }
    }
    default:
      return invalid(record, 'decode gave an answer of an unknown kind');
  }
}

const invalid = (
  record: ConsumedRecord,
  reason: string,
  eventId: unknown = null,
  loggedReason = reason,
): InvalidRecord => ({
  record,
  reason,
  loggedReason,
  eventId: eventIdProblem(eventId) === undefined ? (eventId as string) : null,
});

/** A parser's message quotes what it could not parse. */
const failed = (record: ConsumedRecord, doing: string, error: unknown): InvalidRecord =>
  invalid(record, `${doing} failed: ${reasonOf(error)}`, null, `${doing} failed (${kindOf(error)})`);

const isThenable = <T>(answer: T | PromiseLike<T>): answer is PromiseLike<T> =>
  typeof (answer as { then?: unknown } | null | undefined)?.then === 'function';

/**
 * The key of an event in the inbox. JSON keeps the two parts apart whatever they contain. Where `decode` gives a source
 * for some events only, an id alone that looks like such JSON becomes JSON itself: else it could be made to look like
 * another producer's event.
 */
export function inboxId(
  said: EventIdentity | undefined,
  { id, source, topic }: { id: string; source?: string | undefined; topic: string },
): string {
  if (said === 'id') return id;
  if (said === 'topic') return JSON.stringify([topic, id]);
  if (source !== undefined) return JSON.stringify([source, id]);
  return id.startsWith('["') ? JSON.stringify([id]) : id;
}

function sourceProblem(said: EventIdentity | undefined, source: unknown): string | undefined {
  if (said === 'id' || said === 'topic' || (said === undefined && source === undefined)) return undefined;
  return eventIdProblem(source)?.replace('event id', 'source');
}

/** Why an event id cannot be a key of the inbox, or undefined if it can. */
export function eventIdProblem(id: unknown, lengthMax = eventIdLengthMax): string | undefined {
  if (typeof id !== 'string') return 'event id is not a text';
  if (id === '') return 'event id is empty';
  if (id.length > lengthMax) return `event id is longer than ${lengthMax} characters`;
  if (id.includes('\u0000')) return 'event id contains U+0000';
  // Two ids that differ in a lone surrogate only would be stored as the same text.
  if (!id.isWellFormed()) return 'event id is not well-formed Unicode';
  return undefined;
}

/** The ordering key of a record whose consumer names no other; null where it has none. */
export function keyOfRecord({ key }: ConsumedRecord): string | null {
  if (key === null) return null;
  const bytes = Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  const text = bytes.toString('latin1');
  return isPlain(text) ? `key:${text}` : `hash:${createHash('sha256').update(key).digest('hex')}`;
}

/** An ordering key as it is stored. */
export function givenKey(key: string | null | undefined): string | null {
  if (key === null || key === undefined) return null;
  if (typeof key !== 'string') throw new TypeError('the ordering key is not a text');
  return isPlain(key) ? `key:${key}` : `hash:${createHash('sha256').update(key).digest('hex')}`;
}

/** Text that can stand in an index entry, and is the same text in every encoding. */
const isPlain = (key: string): boolean => key.length <= orderingKeyLengthMax && /^[\x20-\x7e]*$/.test(key);
