import type { Admin, Kafka } from 'kafkajs';
import type { PartitionPosition } from '../source.ts';

/** Asks a broker how far a group is; connects when it is first asked. */
export interface Positions {
  of(assigned: ReadonlyMap<string, readonly number[]>): Promise<PartitionPosition[]>;
  close(): Promise<void>;
}

/** See {@link Positions}. */
export function createPositions(kafka: Kafka, groupId: string): Positions {
  let admin: Promise<Admin> | undefined;

  async function connect(): Promise<Admin> {
    const client = kafka.admin();
    await client.connect();
    return client;
  }
  async function close(): Promise<void> {
    const closing = admin;
    admin = undefined;
    await closing?.then((client) => client.disconnect()).catch(() => undefined);
  }

  return {
    of: async (assigned) => {
      if (assigned.size === 0) return [];
      admin ??= connect();
      try {
        const client = await admin;
        const topics = [...assigned.keys()];
        const committed = await client.fetchOffsets({ groupId, topics });
        const positions = topics.map(async (topic) => {
          const ends = await client.fetchTopicOffsets(topic);
          const offsets = committed.find((one) => one.topic === topic)?.partitions ?? [];
          return (assigned.get(topic) ?? []).map((partition) => {
            const offset = offsets.find((one) => one.partition === partition)?.offset;
            return {
              topic,
              partition,
              committed: offset === undefined || Number(offset) < 0 ? null : offset,
              end: ends.find((one) => one.partition === partition)?.offset ?? '0',
            };
          });
        });
        return (await Promise.all(positions)).flat();
      } catch (error) {
        await close();
        throw error;
      }
    },
    close,
  };
}
