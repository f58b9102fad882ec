import { OutboxError } from './errors.ts';
import { murmur2 } from './kafkajs/murmur2.ts';
import type { OutboundRecord, Publisher } from './publisher.ts';
import { publishTopicWise } from './topic-wise.ts';

/** What is sent; keys, values and headers are bytes, as a `Producer` without serializers takes them. */
export interface PlatformaticSend {
  messages: {
    topic: string;
    key: Buffer;
    value: Buffer;
    headers: Map<Buffer, Buffer>;
    partition: number;
  }[];
  acks: number;
  idempotent: boolean;
  autocreateTopics: boolean;
}

/** The part of `@platformatic/kafka`'s `Producer` that is used. */
export interface PlatformaticProducer {
  send(options: PlatformaticSend): Promise<unknown>;
  metadata(options: { topics: string[]; forceUpdate: boolean }): Promise<unknown>;
  close(force: boolean): Promise<unknown>;
}

/** What the adapter needs. */
export interface PlatformaticPublisherOptions {
  /**
   * Makes the caller's `Producer`, without serializers; called at the first use, and again after a `disconnect`. Its
   * `timeout` and `retries` bound how long a broker that is away is waited for: the relay repeats by itself, so
   * `retries: 0` is right.
   */
  readonly createProducer: () => PlatformaticProducer;
  /** Bytes per request and topic (900,000); brokers take 1 MiB per batch, and there is one for each partition. */
  readonly requestBytesMax?: number;
}

/**
 * Publishes through `@platformatic/kafka`, which costs about 60 % of the CPU of kafkajs. Acks=all, no topic is created,
 * and the partition is the one that Java's default partitioner chooses, which this client's own is not.
 */
export function createPlatformaticPublisher(options: PlatformaticPublisherOptions): Publisher {
  const { createProducer, requestBytesMax = 900_000 } = options;
  let producer: PlatformaticProducer | undefined;
  let disconnected = false;

  const opened = (): PlatformaticProducer => {
    if (disconnected) throw new OutboxError('OUTBOX_PUBLISHER_DISCONNECTED', 'the publisher is disconnected');
    producer ??= createProducer();
    return producer;
  };

  async function send(topic: string, part: readonly OutboundRecord[]): Promise<void> {
    const messages = part.map((record) => messageOf(topic, record));
    await opened().send({ messages, acks: -1, idempotent: false, autocreateTopics: false });
  }

  return {
    async connect() {
      disconnected = false;
      await opened().metadata({ topics: [], forceUpdate: true });
    },
    publish: (records) => publishTopicWise(records, requestBytesMax, send),
    async disconnect() {
      disconnected = true;
      const closing = producer;
      producer = undefined;
      await closing?.close(true);
    },
  };
}

function messageOf(
  topic: string,
  { key, value, headers }: OutboundRecord,
): PlatformaticSend['messages'][number] {
  const keyBytes = Buffer.from(key);
  const headerBytes = new Map<Buffer, Buffer>();
  for (const name in headers) headerBytes.set(bytesOfName(name), Buffer.from(headers[name] as string));
  return {
    topic,
    key: keyBytes,
    value: Buffer.from(value as string),
    headers: headerBytes,
    partition: murmur2(keyBytes) & 0x7fffffff, // the client takes it modulo the number of partitions
  };
}

/** Names of headers are few and come with every event. */
const namesKnown = new Map<string, Buffer>();
const namesKnownMax = 1_000;

function bytesOfName(name: string): Buffer {
  let bytes = namesKnown.get(name);
  if (bytes === undefined) {
    bytes = Buffer.from(name);
    if (namesKnown.size < namesKnownMax) namesKnown.set(name, bytes);
  }
  return bytes;
}
