import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  accept,
  committedOffset,
  createTestTopic,
  membersOf,
  produce,
  soon,
  testKafka,
  text,
  uniqueName,
  useSources,
} from './kafkajs-harness.ts';

/** A member that hears of no rebalance, so that whoever joins has to wait for it. */
async function deafMember(groupId: string, topic: string) {
  const consumer = testKafka().consumer({ groupId, sessionTimeout: 30_000, rebalanceTimeout: 60_000 });
  const busy = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachBatch: async () => {
      busy.resolve();
      await gate.promise;
    },
  });
  await busy.promise;
  onTestFinished(async () => {
    gate.resolve();
    await consumer.disconnect();
  });
}

describe('the membership of a kafkajs source', () => {
  const start = useSources();

  it('stop in the middle of a join leaves no member behind', async () => {
    const topic = await createTestTopic('join');
    const groupId = uniqueName('group');
    await produce(topic, [text('a')]);
    await deafMember(groupId, topic);
    const { source, log } = start({ topics: [topic], groupId, sessionTimeoutMs: 30_000 });
    await expect.poll(() => membersOf(groupId), soon).toBe(2);
    expect(source.isHealthy()).toBe(false);
    const stoppedMs = performance.now();
    await source.stop();
    expect(performance.now() - stoppedMs).toBeLessThan(5_000);
    expect(await membersOf(groupId)).toBe(1);
    expect(log.filter((entry) => entry.message.includes('leave'))).toEqual([]);
  });

  it('stop in the middle of a second join leaves no member behind either', async () => {
    const topic = await createTestTopic('rejoin', { partitions: 2 });
    const groupId = uniqueName('group');
    await produce(topic, [text('a')], { partition: 0 });
    await produce(topic, [text('a')], { partition: 1 });
    const { source, places } = start({ topics: [topic], groupId, sessionTimeoutMs: 30_000 });
    await expect.poll(() => places().length, soon).toBe(2);
    const other = testKafka().consumer({ groupId, sessionTimeout: 30_000, rebalanceTimeout: 60_000 });
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    onTestFinished(async () => {
      gate.resolve();
      await other.disconnect();
    });
    await other.connect();
    await other.subscribe({ topics: [topic], fromBeginning: true });
    await other.run({
      eachBatch: async () => {
        entered.resolve();
        await gate.promise;
      },
    });
    await expect.poll(() => membersOf(groupId), soon).toBe(2);
    await produce(topic, [text('b')], { partition: 0 });
    await produce(topic, [text('b')], { partition: 1 });
    await entered.promise;
    // A third one makes us join again, and wait for the one that hears nothing.
    const third = start({ topics: [topic], groupId, sessionTimeoutMs: 30_000 });
    await expect.poll(() => membersOf(groupId), soon).toBe(3);
    await sleep(1_500); // more than a heartbeat: both are in their joins
    await Promise.all([source.stop(), third.source.stop()]);
    expect(await membersOf(groupId)).toBe(1);
  });

  it('stop lets the chunk in hand be finished, commits it, begins no other, and leaves', async () => {
    const topic = await createTestTopic('drain');
    await produce(topic, ['a', 'b', 'c'].map(text));
    const gate = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const { source, groupId, places } = start({
      topics: [topic],
      chunkSizeMax: 2,
      onChunk: async (chunk) => {
        chunk.signal.addEventListener('abort', () => aborted.resolve());
        await gate.promise;
        return accept(chunk);
      },
    });
    await expect.poll(() => places().length, soon).toBe(2);
    await sleep(1_000); // so that kafkajs does not wait for it any more
    const stopped = source.stop();
    await aborted.promise;
    gate.resolve();
    await stopped;
    expect(places()).toEqual(['0:0', '0:1']);
    expect(await committedOffset(groupId, topic)).toBe(2);
    expect(await membersOf(groupId)).toBe(0);
  });

  it('a rebalance lets a chunk in hand be committed; one that takes longer commits nothing and comes again', async () => {
    const topic = await createTestTopic('rebalance', { partitions: 2 });
    const groupId = uniqueName('group');
    for (const partition of [0, 1]) await produce(topic, [text('a')], { partition });
    const late = Promise.withResolvers<void>();
    const outcomes = new Map<number, boolean>();
    const first = start({
      topics: [topic],
      groupId,
      onChunk: async (chunk) => {
        const { partition } = chunk.records[0];
        await new Promise<void>((resolve) => chunk.signal.addEventListener('abort', () => resolve()));
        if (partition === 1) await late.promise;
        if (!outcomes.has(partition)) outcomes.set(partition, await chunk.commitOffsets());
        return 'accepted';
      },
    });
    await expect.poll(() => first.places().length, soon).toBe(2);
    const second = start({ topics: [topic], groupId });
    await expect.poll(() => second.source.positions(), soon).toHaveLength(1);
    late.resolve();
    await expect.poll(() => outcomes.size, soon).toBe(2);
    expect(outcomes).toEqual(
      new Map([
        [0, true],
        [1, false],
      ]),
    );
    await first.source.stop();
    await expect.poll(() => committedOffset(groupId, topic, 1), soon).toBe(1);
    expect(second.places()).toEqual(['1:0']);
    expect(first.places().filter((place) => place === '0:0')).toHaveLength(1);
  });

  it('members that come and go lose nothing', async () => {
    const topic = await createTestTopic('move', { partitions: 4 });
    const groupId = uniqueName('group');
    const seen = new Map<string, number>();
    const member = () =>
      start({
        topics: [topic],
        groupId,
        chunkSizeMax: 5,
        onChunk: async (chunk) => {
          await sleep(20);
          if (!(await chunk.commitOffsets())) return 'abandoned';
          for (const { partition, offset } of chunk.records) {
            const place = `${partition}:${offset}`;
            seen.set(place, (seen.get(place) ?? 0) + 1);
          }
          return 'accepted';
        },
      });
    const put = async () => {
      for (let partition = 0; partition < 4; partition++) {
        await produce(
          topic,
          Array.from({ length: 25 }, () => text('x')),
          { partition },
        );
      }
    };
    await put();
    const first = member();
    await expect.poll(() => seen.size, soon).toBeGreaterThan(0);
    const second = member();
    await put();
    await expect.poll(() => membersOf(groupId), soon).toBe(2);
    await first.source.stop();
    await put();
    await expect.poll(() => seen.size, soon).toBe(300);
    expect([...seen.values()].filter((times) => times !== 1)).toEqual([]);
    expect(second.source.isHealthy()).toBe(true);
  });

  it('a topic that does not exist yet is waited for, visibly and unhealthily, ever more slowly', async () => {
    const topic = uniqueName('late');
    const { source, log, counted, places } = start({ topics: [topic] });
    await expect.poll(() => log.filter((entry) => entry.level === 'warn').length, soon).toBeGreaterThan(1);
    expect(source.isHealthy()).toBe(false);
    expect(counted).toContain('sourceRestarts');
    expect(log.map((entry) => entry.fields.failures).slice(0, 2)).toEqual([1, 2]);
    const admin = testKafka().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
    await admin.disconnect();
    await produce(topic, [text('a')]);
    await expect.poll(() => places(), soon).toEqual(['0:0']);
    expect(source.isHealthy()).toBe(true);
  });
});
