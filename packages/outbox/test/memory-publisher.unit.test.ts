import { randomUUID } from 'node:crypto';
import { createMemoryBroker, publisherContract } from '../src/testing.ts';

publisherContract('the in-memory publisher', async () => {
  const broker = createMemoryBroker();
  return {
    publisher: broker.publisher,
    createTopic: async (partitions) => {
      const topic = `topic-${randomUUID()}`;
      broker.createTopic(topic, partitions);
      return topic;
    },
    missingTopic: () => `missing-${randomUUID()}`,
    read: async (topic) =>
      broker.read(topic).map(({ partition, key, value, headers }) => {
        return { partition, key, value: Buffer.from(value as string), headers };
      }),
    close: async () => undefined,
  };
});
