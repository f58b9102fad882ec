import { waitFor } from '@orders/dev-stack';
import { type Admin, Kafka, logLevel } from 'kafkajs';

const partitions = 12;

/** Deletes the topic if it is there and makes it anew, so that every measurement begins with an empty one. */
export async function renewTopic(brokers: string[], topic: string): Promise<void> {
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    if ((await admin.listTopics()).includes(topic)) {
      await admin.deleteTopics({ topics: [topic] });
      await waitFor(`the end of ${topic}`, async () => !(await admin.listTopics()).includes(topic));
    }
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: false });
    await waitFor(`leaders of ${topic}`, () => hasLeaders(admin, topic), { intervalMs: 20 });
  } finally {
    await admin.disconnect();
  }
}

/** Records in a topic. */
export async function countRecords(brokers: string[], topic: string): Promise<number> {
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(topic);
    return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  } finally {
    await admin.disconnect();
  }
}

async function hasLeaders(admin: Admin, topic: string): Promise<boolean> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const found = topics[0]?.partitions ?? [];
  return found.length === partitions && found.every(({ leader }) => leader >= 0);
}
