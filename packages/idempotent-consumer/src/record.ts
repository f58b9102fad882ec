/** Headers of a record as a client delivers them: a name may repeat, values are bytes. */
export type RecordHeaders = Readonly<
  Record<string, Uint8Array | string | readonly (Uint8Array | string)[] | undefined>
>;

/** A record as it stands on its topic. */
export interface ConsumedRecord {
  readonly topic: string;
  readonly partition: number;
  /** Decimal; may exceed 2^53. */
  readonly offset: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: RecordHeaders;
}

/**
 * What a record turned out to be.
 * - `event`: of a type this consumer handles; `id` is the producer's event id, the key of the deduplication.
 * - `skip`: of a type it does not handle. Counted, without an inbox row.
 * - `invalid`: of a handled type, or of no known one, and not usable. It becomes a dead letter.
 */
export type Decoded<E> =
  | { readonly kind: 'event'; readonly id: string; readonly event: E }
  | { readonly kind: 'skip' }
  | { readonly kind: 'invalid'; readonly reason: string; readonly eventId?: string | undefined };

/** Decides what a record is. Pure; an exception counts as `invalid`. */
export type Decode<E> = (record: ConsumedRecord) => Decoded<E>;

/** The records of one chunk, told apart. `events` and `invalid` keep the order of the partition. */
export interface SortedRecords<E> {
  readonly events: readonly DecodedEvent<E>[];
  readonly invalid: readonly InvalidRecord[];
  readonly skipped: number;
}

/** A record that holds an event. */
export interface DecodedEvent<E> {
  readonly record: ConsumedRecord;
  readonly id: string;
  readonly event: E;
}

/** A record that holds none, and why; `eventId` is whatever it claims to be, if it can be stored. */
export interface InvalidRecord {
  readonly record: ConsumedRecord;
  readonly reason: string;
  readonly eventId: string | null;
}

/** Longest event id in UTF-16 units: with its worker id it has to fit into one index entry. */
export const eventIdLengthMax = 256;

/** Why an event id cannot be a key of the inbox, or undefined if it can. */
export function eventIdProblem(id: unknown): string | undefined {
  if (typeof id !== 'string') return 'event id is not a text';
  if (id === '') return 'event id is empty';
  if (id.length > eventIdLengthMax) return `event id is longer than ${eventIdLengthMax} characters`;
  if (id.includes('\u0000')) return 'event id contains U+0000';
  // Two ids that differ in a lone surrogate only would be stored as the same text.
  if (!id.isWellFormed()) return 'event id is not well-formed Unicode';
  return undefined;
}

/** Tells the records of a chunk apart. */
export function sortRecords<E>(records: readonly ConsumedRecord[], decode: Decode<E>): SortedRecords<E> {
  const events: DecodedEvent<E>[] = [];
  const invalid: InvalidRecord[] = [];
  for (const record of records) {
    const decoded = decodeSafely(record, decode);
    if (decoded.kind === 'event') events.push({ record, id: decoded.id, event: decoded.event });
    if (decoded.kind === 'invalid') {
      const eventId = eventIdProblem(decoded.eventId) === undefined ? (decoded.eventId as string) : null;
      invalid.push({ record, reason: decoded.reason, eventId });
    }
  }
  return { events, invalid, skipped: records.length - events.length - invalid.length };
}

function decodeSafely<E>(record: ConsumedRecord, decode: Decode<E>): Decoded<E> {
  try {
    const decoded = decode(record);
    const problem = decoded.kind === 'event' ? eventIdProblem(decoded.id) : undefined;
    return problem === undefined ? decoded : { kind: 'invalid', reason: problem };
  } catch (error) {
    return { kind: 'invalid', reason: `decode failed: ${error instanceof Error ? error.message : error}` };
  }
}
