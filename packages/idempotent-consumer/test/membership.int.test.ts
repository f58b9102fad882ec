import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import {
  type CountEvent,
  committedOffset,
  countAll,
  countRecord,
  createTestTopic,
  produce,
  soon,
  type Tx,
  testKafka,
  uniqueName,
  useConsumers,
  useDatabase,
} from './harness.ts';

async function membersOf(groupId: string): Promise<number> {
  const admin = testKafka().admin();
  await admin.connect();
  try {
    return (await admin.describeGroups([groupId])).groups[0]?.members.length ?? 0;
  } finally {
    await admin.disconnect();
  }
}

const serverIsStarting = async (): Promise<never> => {
  throw Object.assign(new Error('the server is starting up'), { code: '57P03' });
};

describe('a member of its group', () => {
  const db = useDatabase();
  const startConsumer = useConsumers(db);

  it('stop finishes the chunk in hand, commits its offset, begins no other, and leaves the group', async () => {
    const topic = await createTestTopic('drain');
    const name = uniqueName('drain');
    await produce(
      topic,
      ['d1', 'd2', 'd3'].map((id) => countRecord(id, name)),
    );
    const entered = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const { consumer, groupId } = await startConsumer({
      topic,
      source: { chunkSizeMax: 2 },
      handleBatch: async (tx, events) => {
        entered.resolve();
        await gate.promise;
        await countAll(tx, events);
      },
    });
    await entered.promise;
    expect(await membersOf(groupId)).toBe(1);
    const stopped = consumer.stop();
    expect(consumer.isHealthy()).toBe(false);
    gate.resolve();
    await stopped;
    expect(await db().counted(name)).toBe(2);
    expect(await committedOffset(groupId, topic)).toBe(2);
    expect(await membersOf(groupId)).toBe(0);
  });

  it('stop gives up a chunk that cannot be accepted, and leaves it to the next one', async () => {
    const topic = await createTestTopic('give-up');
    const name = uniqueName('give-up');
    await produce(topic, [countRecord('g1', name)]);
    let hasBegun = false;
    const first = await startConsumer({
      topic,
      acceptRetryBaseMs: 600_000,
      acceptRetryMaxMs: 600_000,
      deps: {
        transaction: (work) => (hasBegun ? serverIsStarting() : db().transaction(work)),
        crashPoint: (point) => {
          hasBegun ||= point === 'consumer.accept.begun';
        },
      },
    });
    await expect.poll(() => first.consumer.counts().retries, soon).toBeGreaterThan(0);
    await first.consumer.stop();
    expect(await committedOffset(first.groupId, topic)).toBe(-1);

    const { groupId, consumerName } = first;
    await startConsumer({ topic, groupId, consumerName });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(1);
    expect(await db().counted(name)).toBe(1);
  });

  it('partitions that move while chunks are being handled lose nothing and repeat nothing', async () => {
    const topic = await createTestTopic('move', { partitions: 4 });
    const name = uniqueName('move');
    const groupId = uniqueName('group');
    const consumerName = uniqueName('worker');
    const put = async (round: string) => {
      for (let partition = 0; partition < 4; partition++) {
        const records = Array.from({ length: 25 }, (_, i) => countRecord(`${round}-${partition}-${i}`, name));
        await produce(topic, records, partition);
      }
    };
    await put('first');
    const handleBatch = async (tx: Tx, events: CountEvent[]) => {
      await sql`SELECT pg_sleep(0.03)`.execute(tx);
      await countAll(tx, events);
    };
    const started = { topic, groupId, consumerName, source: { chunkSizeMax: 5 }, handleBatch };
    const first = await startConsumer(started);
    await expect.poll(() => first.consumer.counts().handled, soon).toBeGreaterThan(0);
    const second = await startConsumer(started);
    await put('second');
    await expect.poll(() => membersOf(groupId), soon).toBe(2);
    await first.consumer.stop();
    await put('third');
    for (let partition = 0; partition < 4; partition++) {
      await expect.poll(() => committedOffset(groupId, topic, partition), soon).toBe(75);
    }
    expect(await db().counted(name)).toBe(300);
    expect(first.consumer.counts().handled + second.consumer.counts().handled).toBe(300);
    expect(second.consumer.isHealthy()).toBe(true);
  });

  it('a topic that does not exist yet is waited for, visibly and unhealthily', async () => {
    const topic = uniqueName('late');
    const name = uniqueName('late');
    const { consumer, logger, groupId } = await startConsumer({ topic });
    await expect.poll(() => logger.entries.map((entry) => entry.level), soon).toContain('warn');
    expect(consumer.isHealthy()).toBe(false);
    const admin = testKafka().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
    await admin.disconnect();
    await produce(topic, [countRecord('l1', name)]);
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(1);
    expect(await db().counted(name)).toBe(1);
    expect(consumer.isHealthy()).toBe(true);
  });

  it('refuses options that cannot work', async () => {
    const refused = { code: 'CONSUMER_OPTION_INVALID' };
    await expect(startConsumer({ topic: 't', source: { chunkSizeMax: 0 } })).rejects.toMatchObject(refused);
    await expect(startConsumer({ topic: 't', consumerName: '' })).rejects.toMatchObject(refused);
    await expect(startConsumer({ topic: 't', source: { topics: [] } })).rejects.toMatchObject(refused);
  });
});
