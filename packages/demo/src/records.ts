import { waitFor } from '@orders/dev-stack';
import { createKafka, createLogger } from '@orders/service-runtime';
import type { IHeaders } from 'kafkajs';

/** A record as it stands on the topic. */
export interface TopicRecord {
  partition: number;
  offset: string;
  key: Buffer | null;
  value: Buffer | null;
  headers: IHeaders;
}

const logger = createLogger({ service: 'demo', level: 'silent' });
const kafkaOf = (brokers: readonly string[]) => createKafka({ clientId: 'demo', brokers, logger });

/** The text of a record's header, empty when it has none. */
export const headerOf = (record: TopicRecord, name: string): string => record.headers[name]?.toString() ?? '';

/** All records of a topic at this moment, per partition in offset order, read by a client of its own. */
export async function readTopic(brokers: readonly string[], topic: string): Promise<TopicRecord[]> {
  const kafka = kafkaOf(brokers);
  const ends = await endOffsets(brokers, topic);
  let missing = [...ends.values()].reduce((sum, end) => sum + end, 0);
  const records: TopicRecord[] = [];
  if (missing === 0) return records;

  const consumer = kafka.consumer({
    groupId: `demo-reader-${crypto.randomUUID()}`,
    allowAutoTopicCreation: false,
  });
  const all = Promise.withResolvers<void>();
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (Number(message.offset) >= (ends.get(partition) ?? 0)) return;
        const { offset, key, value, headers = {} } = message;
        records.push({ partition, offset, key, value, headers });
        if (--missing === 0) all.resolve();
      },
    });
    await all.promise;
  } finally {
    await consumer.disconnect();
  }
  return records;
}

/** Puts the very same record (key, value, headers) on the topic once more, as an at-least-once relay may. */
export async function redeliver(
  brokers: readonly string[],
  topic: string,
  record: TopicRecord,
): Promise<void> {
  const { key, value, headers, partition } = record;
  await produce(brokers, topic, { key, value, headers, partition });
}

/** Puts a record of anybody's making on the topic. */
export async function produce(
  brokers: readonly string[],
  topic: string,
  message: { key: Buffer | null; value: Buffer | null; headers?: IHeaders; partition?: number },
): Promise<void> {
  const producer = kafkaOf(brokers).producer({ allowAutoTopicCreation: false });
  await producer.connect();
  try {
    await producer.send({ topic, acks: -1, messages: [message] });
  } finally {
    await producer.disconnect();
  }
}

/** Waits until a consumer group has committed every offset of the topic. */
export async function groupCaughtUp(
  brokers: readonly string[],
  topic: string,
  groupId: string,
): Promise<void> {
  const admin = kafkaOf(brokers).admin();
  await admin.connect();
  try {
    await waitFor(
      `group ${groupId} to have read all of ${topic}`,
      async () => {
        const ends = await admin.fetchTopicOffsets(topic);
        const [group] = await admin.fetchOffsets({ groupId, topics: [topic] });
        const committed = new Map(group?.partitions.map((p) => [p.partition, Number(p.offset)]));
        return ends.every(
          (end) => end.offset === '0' || (committed.get(end.partition) ?? -1) >= Number(end.offset),
        );
      },
      { timeoutMs: 60_000 },
    );
  } finally {
    await admin.disconnect();
  }
}

async function endOffsets(brokers: readonly string[], topic: string): Promise<Map<number, number>> {
  const admin = kafkaOf(brokers).admin();
  await admin.connect();
  try {
    return new Map((await admin.fetchTopicOffsets(topic)).map((p) => [p.partition, Number(p.high)]));
  } finally {
    await admin.disconnect();
  }
}
