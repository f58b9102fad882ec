import { describe, expect, it } from 'vitest';
import {
  committedOffset,
  countRecord,
  createTestTopic,
  produce,
  soon,
  uniqueName,
  useConsumers,
  useDatabase,
} from './harness.ts';

describe('Test 2: Idempotency', () => {
  const db = useDatabase();
  const startConsumer = useConsumers(db);

  it('the same event again, in one fetch and in a later one, has one effect', async () => {
    const topic = await createTestTopic('again');
    const name = uniqueName('again');
    await produce(topic, [countRecord('e1', name), countRecord('e1', name), countRecord('e2', name)]);
    const { consumer, groupId, consumerName } = await startConsumer({ topic });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(3);
    await produce(topic, [countRecord('e1', name), countRecord('e2', name)]);
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(5);

    expect(await db().counted(name)).toBe(2);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 3, deadLetters: 0 });
    expect(await db().inboxRows(consumerName)).toMatchObject([
      { event_id: 'e1', topic, partition: 0 },
      { event_id: 'e2', topic, partition: 0, offset: '2' },
    ]);
  });

  it('the same events given to two consumers of one worker at the same time have one effect each', async () => {
    const topic = await createTestTopic('twice', { partitions: 2 });
    const consumerName = uniqueName('worker');
    const names = Array.from({ length: 40 }, (_, i) => `${consumerName}-${i}`);
    const records = names.map((name) => countRecord(`id-${name}`, name));
    await produce(topic, records, 0);
    await produce(topic, records.toReversed(), 1);
    // In groups of their own each is given every record, and with two partitions each of them twice.
    const consumers = await Promise.all([
      startConsumer({ topic, consumerName, source: { chunkSizeMax: 7 } }),
      startConsumer({ topic, consumerName, source: { chunkSizeMax: 5 } }),
    ]);
    for (const { groupId } of consumers) {
      await expect.poll(() => committedOffset(groupId, topic, 0), soon).toBe(40);
      await expect.poll(() => committedOffset(groupId, topic, 1), soon).toBe(40);
    }

    const counted = await Promise.all(names.map((name) => db().counted(name)));
    expect(counted).toEqual(names.map(() => 1));
    const counts = consumers.map(({ consumer }) => consumer.counts());
    expect(counts.reduce((sum, one) => sum + one.handled, 0)).toBe(40);
    expect(counts.reduce((sum, one) => sum + one.duplicates, 0)).toBe(120);
  });

  it('a group that reads everything once more handles nothing once more', async () => {
    const topic = await createTestTopic('rewound');
    const name = uniqueName('rewound');
    await produce(topic, [countRecord('r1', name), countRecord('r2', name)]);
    const first = await startConsumer({ topic });
    await expect.poll(() => committedOffset(first.groupId, topic), soon).toBe(2);
    const second = await startConsumer({ topic, consumerName: first.consumerName });
    await expect.poll(() => committedOffset(second.groupId, topic), soon).toBe(2);
    expect(await db().counted(name)).toBe(2);
    expect(second.consumer.counts()).toMatchObject({ handled: 0, duplicates: 2 });
  });

  it('records of types it does not handle are counted and leave no inbox row', async () => {
    const topic = await createTestTopic('skipped');
    const name = uniqueName('skipped');
    const other = { key: name, value: '{}', headers: { type: 'other', id: 's0' } };
    await produce(topic, [other, countRecord('s1', name), other]);
    const { consumer, groupId, consumerName } = await startConsumer({ topic });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(3);
    expect(consumer.counts()).toMatchObject({ handled: 1, skipped: 2 });
    expect(await db().inboxRows(consumerName)).toMatchObject([{ event_id: 's1' }]);
    expect(await db().deadLetters(consumerName)).toEqual([]);
  });
});
