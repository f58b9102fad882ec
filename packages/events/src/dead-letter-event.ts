import type { EncodedOrderEvent } from './encode.ts';
import { deadLettersTopic } from './topics.ts';

/** A dead letter as the sink of a consumer is given it; what a record claims may be anything. */
export interface DeadLetterNotice {
  /** UUID of its row. */
  readonly id: string;
  readonly consumerName: string;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  readonly eventId: string | null;
  readonly reason: string;
  readonly attempts: number;
  readonly key: Uint8Array | null;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** What a record of {@link deadLettersTopic} holds: where the record stands and why it was given up, not its bytes. */
export interface DeadLetterData extends Record<string, unknown> {
  readonly id: string;
  readonly consumerName: string;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  readonly eventId: string | null;
  readonly reason: string;
  readonly attempts: number;
  /** RFC 3339. */
  readonly failedAt: string;
}

export const deadLetterEventType = 'dead-letter.added.v1';

/**
 * A dead letter as an outbox row, for those who watch `orders.dead-letters`. Correlation, tenant and trace are those of
 * the record, where it has them. Each letter is its own aggregate: one that cannot be published holds up no other.
 */
export function deadLetterEvent(
  letter: DeadLetterNotice,
  { failedAt, topic = deadLettersTopic.name }: { failedAt: Date; topic?: string },
): EncodedOrderEvent & { payload: DeadLetterData } {
  const { id, consumerName, eventId, reason, attempts } = letter;
  const time = failedAt.toISOString();
  return {
    id,
    topic,
    key: plainText(letter.key) ?? id,
    type: deadLetterEventType,
    aggregateType: 'dead-letter',
    orderingKey: id,
    payload: {
      id,
      consumerName,
      topic: letter.topic,
      partition: letter.partition,
      offset: letter.offset,
      eventId,
      reason: storable(reason),
      attempts,
      failedAt: time,
    },
    headers: {
      ce_specversion: '1.0',
      ce_id: id,
      ce_type: deadLetterEventType,
      ce_source: `/orders/${encodeURIComponent(consumerName)}`,
      ce_time: time,
      ce_subject: id,
      'content-type': 'application/json',
      ...carried(letter.headers),
      ...(plainText(eventId) === undefined ? {} : { 'causation-id': eventId as string }),
    },
  };
}

const reasonLengthMax = 4_000;

/** As jsonb can hold it: a reason quotes what it could not read. */
const storable = (text: string): string =>
  text.slice(0, reasonLengthMax).replaceAll('\u0000', '\\0').toWellFormed();

const carriedHeaders = ['correlation-id', 'tenant-id', 'traceparent'];

const carried = (headers: DeadLetterNotice['headers']): Record<string, string> =>
  Object.fromEntries(
    carriedHeaders.flatMap((name) => {
      const text = plainText(headers[name]);
      return text === undefined ? [] : [[name, text]];
    }),
  );

const plain = /^[\x20-\x7e]{1,250}$/;

/** Short printable ASCII, which our own ids and keys are; undefined for anything else. */
function plainText(value: unknown): string | undefined {
  const text = value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value;
  return typeof text === 'string' && plain.test(text) ? text : undefined;
}
