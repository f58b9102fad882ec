import type { Kafka } from 'kafkajs';
import { asError, OutboxError } from './errors.ts';
import { stopIdleTimers } from './kafkajs/idle-timer.ts';
import { messagesInParts } from './kafkajs/messages.ts';
import { createProducers } from './kafkajs/producers.ts';
import type { OutboundRecord, Publisher, PublishResult } from './publisher.ts';

/** What the adapter needs. */
export interface KafkajsPublisherOptions {
  /** The caller's client; its retries and time-outs bound how long a broker that is away is waited for. */
  readonly kafka: Pick<Kafka, 'producer'>;
  /** Bytes per request and topic (900,000). kafkajs makes one batch per partition, and brokers take 1 MiB per batch. */
  readonly requestBytesMax?: number;
  /** How long the broker may wait for its replicas, milliseconds (30,000). */
  readonly acknowledgeTimeoutMs?: number;
}

/**
 * Publishes through kafkajs.
 *
 * Not with its idempotent producer: when a request's answer is lost, kafkajs gives the request's sequence numbers to
 * whatever is sent next, which the broker then takes for a repetition, acknowledges, and throws away. Nor with its
 * retries: the relay repeats what failed, in order, with at most one batch of a key under way, which keeps the order of
 * first appearance and costs a repetition when an answer is lost.
 */
export function createKafkajsPublisher(options: KafkajsPublisherOptions): Publisher {
  const { kafka, requestBytesMax = 900_000, acknowledgeTimeoutMs = 30_000 } = options;
  const producers = createProducers(kafka);
  let disconnected = false;
  stopIdleTimers();

  /** Sends one part after the other, and none after one that failed. */
  async function publishTopic(topic: string, records: readonly OutboundRecord[]): Promise<PublishResult[]> {
    let acknowledged = 0;
    try {
      if (disconnected) {
        throw new OutboxError('OUTBOX_PUBLISHER_DISCONNECTED', 'the publisher is disconnected');
      }
      const producer = await producers.of(topic);
      for (const messages of messagesInParts(records, requestBytesMax)) {
        await producer.send({ topic, acks: -1, timeout: acknowledgeTimeoutMs, messages });
        acknowledged += messages.length;
      }
      return records.map(() => ({ acknowledged: true }));
    } catch (thrown) {
      const error = asError(thrown);
      return records.map((_, i) =>
        i < acknowledged ? { acknowledged: true } : { acknowledged: false, error },
      );
    }
  }

  async function publish(records: readonly OutboundRecord[]): Promise<PublishResult[]> {
    const results = new Array<PublishResult>(records.length);
    const indexes = Map.groupBy(records.keys(), (i) => (records[i] as OutboundRecord).topic);
    await Promise.all(
      [...indexes].map(async ([topic, ofTopic]) => {
        const published = await publishTopic(
          topic,
          ofTopic.map((i) => records[i] as OutboundRecord),
        );
        ofTopic.forEach((i, n) => {
          results[i] = published[n] as PublishResult;
        });
      }),
    );
    return results;
  }

  return {
    async connect() {
      disconnected = false;
      await producers.warmUp();
    },
    publish,
    async disconnect() {
      disconnected = true;
      await producers.close();
    },
  };
}
