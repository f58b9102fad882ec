import type { Kafka } from 'kafkajs';
import { OutboxError } from './errors.ts';
import { stopIdleTimers } from './kafkajs/idle-timer.ts';
import { messageOf } from './kafkajs/messages.ts';
import { createProducers } from './kafkajs/producers.ts';
import type { OutboundRecord, Publisher } from './publisher.ts';
import { publishTopicWise } from './topic-wise.ts';

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

  async function send(topic: string, part: readonly OutboundRecord[]): Promise<void> {
    if (disconnected) throw new OutboxError('OUTBOX_PUBLISHER_DISCONNECTED', 'the publisher is disconnected');
    const producer = await producers.of(topic);
    await producer.send({ topic, acks: -1, timeout: acknowledgeTimeoutMs, messages: part.map(messageOf) });
  }

  return {
    async connect() {
      disconnected = false;
      await producers.warmUp();
    },
    publish: (records) => publishTopicWise(records, requestBytesMax, send),
    async disconnect() {
      disconnected = true;
      await producers.close();
    },
  };
}
