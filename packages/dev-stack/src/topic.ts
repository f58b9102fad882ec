import { randomBytes } from 'node:crypto';
import type { Kafka } from 'kafkajs';
import { waitFor } from './wait-for.ts';

/** A name for a topic or a consumer group that nobody else has. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(5).toString('hex')}`;
}

/** Creates a topic; resolves once its leaders are known. */
export async function createTopic(kafka: Kafka, topic: string, numPartitions: number): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    // waitForLeaders sometimes throws right after the creation, so ask until every partition has one.
    await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false });
    await waitFor(`leaders of topic ${topic}`, () => hasLeaders(admin, topic, numPartitions), {
      intervalMs: 20,
    });
  } finally {
    await admin.disconnect();
  }
}

async function hasLeaders(admin: ReturnType<Kafka['admin']>, topic: string, count: number) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0]?.partitions ?? [];
  if (partitions.length !== count || !partitions.every((one) => one.leader >= 0)) return false;
  // A leader is announced before the broker knows that it is the one: only its own answer says so.
  await admin.fetchTopicOffsets(topic);
  return true;
}
