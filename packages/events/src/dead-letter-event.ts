import type { EncodedOrderEvent } from './encode.ts';

/** What of a dead letter is announced; its bytes stay in the database. */
export interface AnnouncedDeadLetter {
  /** Of its row, a UUID. */
  readonly id: string;
  readonly eventId: string | null;
  readonly consumerName: string;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  readonly reason: string;
  readonly attempts: number;
  /** The record's. */
  readonly headers: Readonly<Record<string, unknown>>;
}

/**
 * A new dead letter as an outbox row: CloudEvents 1.0 in Kafka's binary mode. Its id is the row's, which tells it apart
 * from the record's own; its subject is the row, too, so that none waits for another.
 */
export function deadLetterEvent(
  letter: AnnouncedDeadLetter,
  { topic, now = new Date() }: { readonly topic: string; readonly now?: Date },
): EncodedOrderEvent {
  const { id, eventId, consumerName, topic: recordTopic, partition, offset, reason, attempts } = letter;
  const type = 'dead_letter.added.v1';
  const failedAt = now.toISOString();
  return {
    id,
    topic,
    key: id,
    type,
    aggregateType: 'dead_letter',
    orderingKey: id,
    payload: { id, eventId, consumerName, topic: recordTopic, partition, offset, reason, attempts, failedAt },
    headers: {
      ce_specversion: '1.0',
      ce_id: id,
      ce_type: type,
      ce_source: `/orders/${consumerName}`,
      ce_time: failedAt,
      ce_subject: id,
      ce_dataschema: `urn:orders:${type}`,
      'content-type': 'application/json',
      ...carried(letter.headers),
      ...(eventId !== null && plain.test(eventId) ? { 'causation-id': eventId } : {}),
    },
  };
}

const carriedHeaders = ['correlation-id', 'tenant-id', 'traceparent'];
/** What our own ids are; anything else in a record that was given up on is not passed on. */
const plain = /^[\x20-\x7e]{1,250}$/;

/** Correlation, tenant and trace of the record, where it has them. */
const carried = (headers: AnnouncedDeadLetter['headers']): Record<string, string> =>
  Object.fromEntries(
    carriedHeaders.flatMap((name) => {
      const value = headers[name];
      const text = value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value;
      return typeof text === 'string' && plain.test(text) ? [[name, text]] : [];
    }),
  );
