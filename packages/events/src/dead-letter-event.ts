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
  return {
    id,
    topic,
    key: id,
    type,
    aggregateType: 'dead_letter',
    orderingKey: id,
    payload: { id, eventId, consumerName, topic: recordTopic, partition, offset, reason, attempts },
    headers: {
      ce_specversion: '1.0',
      ce_id: id,
      ce_type: type,
      ce_source: `/orders/${consumerName}`,
      ce_time: now.toISOString(),
      ce_subject: id,
      ce_dataschema: `urn:orders:${type}`,
      'content-type': 'application/json',
    },
  };
}
