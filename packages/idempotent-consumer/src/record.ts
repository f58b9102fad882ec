/** One value of a header as Kafka carries it. */
export type HeaderValue = Uint8Array | string | null;

/** Headers of a record as a client delivers them: a name may repeat, a value is bytes or null. */
export type RecordHeaders = Readonly<Record<string, HeaderValue | readonly HeaderValue[] | undefined>>;

/** A record as it stands on its topic. */
export interface ConsumedRecord {
  readonly topic: string;
  readonly partition: number;
  /** Decimal; may exceed 2^53. */
  readonly offset: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: RecordHeaders;
  /** Milliseconds since 1970 as the topic keeps them, or null where it keeps none. */
  readonly timestampMs: number | null;
}

/**
 * What a record turned out to be.
 * - `event`: of a type this consumer handles; `id` is the producer's event id, `source` tells its producers apart.
 * - `skip`: of a type it does not handle. Counted, without an inbox row.
 * - `invalid`: of a handled type, or of no known one, and not usable. It becomes a dead letter.
 */
export type Decoded<E> =
  | { readonly kind: 'event'; readonly id: string; readonly event: E; readonly source?: string | undefined }
  | { readonly kind: 'skip' }
  | { readonly kind: 'invalid'; readonly reason: string; readonly eventId?: string | undefined };

/**
 * Decides what a record is. An exception, or an answer that is none of these, counts as `invalid`. What is about the
 * moment (`isTransient`), such as a schema registry that cannot be reached, is waited for instead.
 */
export type Decode<E> = (record: ConsumedRecord) => Decoded<E> | Promise<Decoded<E>>;
