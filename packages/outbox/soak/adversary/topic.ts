import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, Kafka, logLevel } from 'kafkajs';

/** A record of the topic, as far as a run looks at it. */
export interface ReadRecord {
  readonly id: string;
  readonly key: string;
  /** When a relay process began to publish it, milliseconds since 1970; NaN if it did not say. */
  readonly relayedAtMs: number;
}

const client = (brokers: readonly string[]) =>
  new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry: { retries: 10 } });

async function withAdmin<T>(brokers: readonly string[], use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client(brokers).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Creates a topic with a name of its own; returns the name once every partition's leader answers. */
export function createRunTopic(brokers: readonly string[], partitions: number): Promise<string> {
  return withAdmin(brokers, async (admin) => {
    const topic = `outbox-run-${randomBytes(5).toString('hex')}`;
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: false });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await admin.fetchTopicOffsets(topic);
        return topic;
      } catch (error) {
        if (attempt === leaderAttemptsMax) throw error;
        await sleep(50);
      }
    }
  });
}

const leaderAttemptsMax = 200;

/** Everything on the topic, one list for each partition, read by a client that no relay uses. */
export async function readRunTopic(brokers: readonly string[], topic: string): Promise<ReadRecord[][]> {
  const offsets = await withAdmin(brokers, (admin) => admin.fetchTopicOffsets(topic));
  const expected = offsets.reduce((sum, one) => sum + Number(one.high), 0);
  const read: ReadRecord[][] = offsets.map(() => []);
  if (expected === 0) return read;
  const consumer = client(brokers).consumer({
    groupId: `outbox-run-${randomBytes(5).toString('hex')}`,
    maxWaitTimeInMs: 50,
  });
  let count = 0;
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachBatch: async ({ batch }) => {
      for (const { key, headers } of batch.messages) {
        const relayedAtMs = Number.parseFloat(String(headers?.['relayed-at']));
        read[batch.partition]?.push({ id: String(headers?.id), key: String(key), relayedAtMs });
      }
      count += batch.messages.length;
    },
  });
  while (count < expected) await sleep(20);
  await consumer.disconnect();
  return read;
}
