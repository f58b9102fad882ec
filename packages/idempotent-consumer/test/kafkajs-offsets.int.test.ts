import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  commitOffset,
  committedOffset,
  createTestTopic,
  deleteRecords,
  produce,
  soon,
  text,
  uniqueName,
  useSources,
  withAdmin,
} from './kafkajs-harness.ts';

describe('where a kafkajs source begins', () => {
  const start = useSources();

  it('earliest is the default, latest and a time are committed at once', async () => {
    const topic = await createTestTopic('begin');
    await produce(topic, [{ value: 'old', timestamp: '1000' }]);
    await produce(topic, [{ value: 'new', timestamp: '5000' }]);
    const earliest = start({ topics: [topic] });
    const timed = start({ topics: [topic], begin: { timestampMs: 2_000 } });
    const future = start({ topics: [topic], begin: { timestampMs: Date.now() + 86_400_000 } });
    const latest = start({ topics: [topic], begin: 'latest' });
    await expect.poll(() => committedOffset(latest.groupId, topic), soon).toBe(2);
    await expect.poll(() => committedOffset(future.groupId, topic), soon).toBe(2);
    await expect.poll(() => earliest.places(), soon).toEqual(['0:0', '0:1']);
    await expect.poll(() => timed.places(), soon).toEqual(['0:1']);
    // What comes while the member is away is not lost, although it has never taken over a record.
    await latest.source.stop();
    await produce(topic, [text('later')]);
    const again = start({ topics: [topic], begin: 'latest', groupId: latest.groupId });
    await expect.poll(() => again.places(), soon).toEqual(['0:2']);
    await expect.poll(() => future.places(), soon).toEqual(['0:2']);
  });

  it('a partition that is added later is read from its first record', async () => {
    const topic = await createTestTopic('added');
    await produce(topic, [text('old')]);
    const first = start({ topics: [topic], begin: 'latest' });
    await expect.poll(() => committedOffset(first.groupId, topic), soon).toBe(1);
    await first.source.stop();
    await withAdmin((admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }));
    await produce(topic, [text('a'), text('b')], { partition: 1 });
    const { places } = start({ topics: [topic], begin: 'latest', groupId: first.groupId });
    await expect.poll(() => places(), soon).toEqual(['1:0', '1:1']);
  });

  it('is said for the whole topic by the first member', async () => {
    const topic = await createTestTopic('first-says', { partitions: 4 });
    for (const partition of [0, 1, 2, 3]) await produce(topic, [text('old')], { partition });
    const groupId = uniqueName('group');
    const first = start({ topics: [topic], begin: 'latest', groupId });
    await expect.poll(() => committedOffset(groupId, topic, 3), soon).toBe(1);
    const second = start({ topics: [topic], begin: 'latest', groupId });
    await expect.poll(() => second.source.positions(), soon).toHaveLength(2);
    for (const partition of [0, 1, 2, 3]) await produce(topic, [text('new')], { partition });
    const places = () => [...first.places(), ...second.places()].sort();
    await expect.poll(places, soon).toEqual(['0:1', '1:1', '2:1', '3:1']);
  });

  it('an existing group goes on where it is, whatever `begin` says', async () => {
    const topic = await createTestTopic('existing');
    await produce(topic, ['a', 'b', 'c'].map(text));
    const groupId = uniqueName('group');
    await commitOffset(groupId, topic, '1');
    const { places } = start({ topics: [topic], groupId, begin: 'latest' });
    await expect.poll(() => places(), soon).toEqual(['0:1', '0:2']);
  });
});

describe('an offset that is out of range', () => {
  const start = useSources();

  async function groupBehind(topic: string): Promise<string> {
    const groupId = uniqueName('group');
    await produce(topic, ['a', 'b', 'c', 'd', 'e'].map(text));
    await commitOffset(groupId, topic, '1');
    await deleteRecords(topic, '3');
    return groupId;
  }

  it('goes to the earliest record: an error with from and to, counted, committed', async () => {
    const topic = await createTestTopic('range');
    const groupId = await groupBehind(topic);
    const { places, log, counted, source } = start({ topics: [topic], groupId });
    await expect.poll(() => places(), soon).toEqual(['0:3', '0:4']);
    const errors = log.filter((entry) => entry.level === 'error').map((entry) => entry.fields);
    expect(errors).toMatchObject([
      { code: 'OFFSET_OUT_OF_RANGE', groupId, topic, partition: 0, from: '1', to: '3', policy: 'earliest' },
    ]);
    expect(counted).toEqual(['offsetResets']);
    expect(source.isHealthy()).toBe(true);
  });

  it('goes behind the last record where that is the policy', async () => {
    const topic = await createTestTopic('range-latest');
    const groupId = await groupBehind(topic);
    const { places, log } = start({ topics: [topic], groupId, offsetOutOfRange: 'latest' });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(5);
    await produce(topic, [text('f')]);
    await expect.poll(() => places(), soon).toEqual(['0:5']);
    expect(log.filter((entry) => entry.level === 'error')[0]?.fields).toMatchObject({ from: '1', to: '5' });
  });

  it('stops the source where that is the policy: one error, unhealthy, nothing moved', async () => {
    const topic = await createTestTopic('range-stop');
    const groupId = await groupBehind(topic);
    const { places, log, counted, source } = start({ topics: [topic], groupId, offsetOutOfRange: 'stop' });
    await expect.poll(() => log.filter((entry) => entry.level === 'error'), soon).toHaveLength(1);
    expect(log.find((entry) => entry.level === 'error')?.fields).toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      from: '1',
      to: '3',
    });
    await sleep(1_500); // it is not built anew
    expect(source.isHealthy()).toBe(false);
    expect(places()).toEqual([]);
    expect(counted).toEqual(['offsetResets']);
    expect(await committedOffset(groupId, topic)).toBe(1);
  });

  it('of a partition does not disturb the others of its broker', async () => {
    const topic = await createTestTopic('range-others', { partitions: 3 });
    const groupId = uniqueName('group');
    for (const partition of [0, 1, 2]) await produce(topic, ['a', 'b', 'c'].map(text), { partition });
    await commitOffset(groupId, topic, '1');
    await deleteRecords(topic, '2');
    const { places } = start({ topics: [topic], groupId });
    await expect.poll(() => places().length, soon).toBe(7);
    expect(places().sort()).toEqual(['0:2', '1:0', '1:1', '1:2', '2:0', '2:1', '2:2']);
  });
});
