import type { Kafka, Message, Producer } from 'kafkajs';
import { asError, OutboxError } from './errors.ts';
import { stopIdleTimers } from './kafkajs/idle-timer.ts';
import { partitionOf } from './kafkajs/murmur2.ts';
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
 * Not with its idempotent producer: when a request's answer is lost, kafkajs reuses the request's sequence numbers for
 * whatever is sent next, which the broker then takes for a repetition, acknowledges, and throws away. Nor with its
 * retries: the relay repeats what failed, in order, with at most one batch of a key under way, which keeps the order of
 * first appearance and costs a repetition when an answer is lost.
 *
 * One producer per topic, since kafkajs refreshes the metadata of all of a producer's topics together: one that is
 * deleted or forbidden would stop the others.
 */
export function createKafkajsPublisher(options: KafkajsPublisherOptions): Publisher {
  const { kafka, requestBytesMax = 900_000, acknowledgeTimeoutMs = 30_000 } = options;
  const producers = new Map<string, Promise<Producer>>();
  let spare: Promise<Producer> | undefined;
  let disconnected = false;
  stopIdleTimers();

  async function openProducer(): Promise<Producer> {
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      idempotent: false,
      retry: { retries: 0 },
      createPartitioner: () => (args) =>
        partitionOf(args.message.key as string, args.partitionMetadata.length),
    });
    try {
      await producer.connect();
    } catch (thrown) {
      await producer.disconnect().catch(() => undefined); // the failure to connect is what matters
      throw thrown;
    }
    return producer;
  }

  function producerOf(topic: string): Promise<Producer> {
    const known = producers.get(topic);
    if (known !== undefined) return known;
    const producer = spare ?? openProducer();
    spare = undefined;
    producers.set(topic, producer);
    producer.catch(() => {
      if (producers.get(topic) === producer) producers.delete(topic);
    });
    return producer;
  }

  /** Sends one part after the other, and none after one that failed. */
  async function publishTopic(topic: string, records: readonly OutboundRecord[]): Promise<PublishResult[]> {
    let acknowledged = 0;
    try {
      if (disconnected)
        throw new OutboxError('OUTBOX_PUBLISHER_DISCONNECTED', 'the publisher is disconnected');
      const producer = await producerOf(topic);
      for (const messages of partsOf(records, requestBytesMax)) {
        await producer.send({ topic, acks: -1, timeout: acknowledgeTimeoutMs, messages });
        acknowledged += messages.length;
      }
    } catch (thrown) {
      const error = asError(thrown);
      return records.map((_, i) =>
        i < acknowledged ? { acknowledged: true } : { acknowledged: false, error },
      );
    }
    return records.map(() => ({ acknowledged: true }));
  }

  async function publish(records: readonly OutboundRecord[]): Promise<PublishResult[]> {
    const topics = [...Map.groupBy(records.keys(), (i) => (records[i] as OutboundRecord).topic)];
    const results = new Array<PublishResult>(records.length);
    await Promise.all(
      topics.map(async ([topic, indexes]) => {
        const ofTopic = indexes.map((i) => records[i] as OutboundRecord);
        const published = await publishTopic(topic, ofTopic);
        indexes.forEach((i, n) => {
          results[i] = published[n] as PublishResult;
        });
      }),
    );
    return results;
  }

  async function connect(): Promise<void> {
    disconnected = false;
    if (producers.size > 0) return;
    spare ??= openProducer();
    try {
      await spare;
    } catch (thrown) {
      spare = undefined;
      throw thrown;
    }
  }

  async function disconnect(): Promise<void> {
    disconnected = true;
    const open = [...producers.values(), ...(spare === undefined ? [] : [spare])];
    producers.clear();
    spare = undefined;
    await Promise.allSettled(open.map(async (producer) => (await producer).disconnect()));
  }

  return { connect, publish, disconnect };
}

/** A header of a few bytes and the lengths of key, value and headers. */
const recordOverheadBytes = 100;

function* partsOf(records: readonly OutboundRecord[], bytesMax: number): Generator<Message[]> {
  let part: Message[] = [];
  let bytes = 0;
  for (const { key, value, headers } of records) {
    const buffer = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value);
    let size = recordOverheadBytes + Buffer.byteLength(key) + buffer.length;
    for (const [name, text] of Object.entries(headers))
      size += Buffer.byteLength(name) + Buffer.byteLength(text) + 4;
    if (part.length > 0 && bytes + size > bytesMax) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push({ key, value: buffer, headers: { ...headers } });
    bytes += size;
  }
  if (part.length > 0) yield part;
}
