import { partitionOf } from '../kafkajs/murmur2.ts';
import type { OutboundRecord, Publisher, PublishResult } from '../publisher.ts';
import { unserialisable } from '../refusal.ts';

/** A record with where it lies. */
export interface StoredRecord extends OutboundRecord {
  readonly partition: number;
}

/** A broker that forgets everything; for unit tests of code that uses a relay or a publisher. */
export interface MemoryBroker {
  readonly publisher: Publisher;
  createTopic(topic: string, partitions?: number): void;
  /** In the order of each partition. @throws when there is no such topic */
  read(topic: string): StoredRecord[];
}

/** What a broker takes as it is installed. */
const recordBytesMax = 1_048_588;

const tooLarge = ({ value }: OutboundRecord): Error | undefined =>
  Buffer.byteLength(value) > recordBytesMax ? new Error('the record is too large') : undefined;

/** Topics must be created before they are published to, as with a real broker. */
export function createMemoryBroker(): MemoryBroker {
  const topics = new Map<string, { partitions: number; records: StoredRecord[] }>();
  let connected = true; // until told otherwise: publishers connect by themselves

  function append(record: OutboundRecord): PublishResult {
    const topic = topics.get(record.topic);
    if (topic === undefined || !connected) {
      const problem = connected ? `there is no topic ${record.topic}` : 'the publisher is disconnected';
      return { acknowledged: false, error: new Error(problem) };
    }
    topic.records.push({ ...record, partition: partitionOf(record.key, topic.partitions) });
    return { acknowledged: true };
  }

  function publish(records: readonly OutboundRecord[]): PublishResult[] {
    const refusedKeys = new Set<string>();
    return records.map((record) => {
      const topicAndKey = JSON.stringify([record.topic, record.key]);
      if (refusedKeys.has(topicAndKey)) {
        return {
          acknowledged: false,
          error: new Error('not sent: an earlier record of its key was refused'),
        };
      }
      const problem = unserialisable(record) ?? tooLarge(record);
      if (connected && topics.has(record.topic) && problem !== undefined) {
        refusedKeys.add(topicAndKey);
        return { acknowledged: false, error: problem, permanent: true };
      }
      return append(record);
    });
  }

  return {
    publisher: {
      async connect() {
        connected = true;
      },
      publish: async (records) => publish(records),
      async disconnect() {
        connected = false;
      },
    },
    createTopic(topic, partitions = 1) {
      topics.set(topic, { partitions, records: [] });
    },
    read(topic) {
      const found = topics.get(topic);
      if (found === undefined) throw new Error(`there is no topic ${topic}`);
      return [...found.records];
    },
  };
}
