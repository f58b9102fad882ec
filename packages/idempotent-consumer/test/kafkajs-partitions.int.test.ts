import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  accept,
  committedOffset,
  createTestTopic,
  membersOf,
  produce,
  soon,
  text,
  useSources,
} from './kafkajs-harness.ts';

const six = [0, 1, 2, 3, 4, 5];

describe('the partitions of a kafkajs source', () => {
  const start = useSources();

  it('one whose chunk is not dealt with holds up none of the others', async () => {
    const topic = await createTestTopic('held', { partitions: 6 });
    for (const partition of six) await produce(topic, [text('first')], { partition });
    const gate = Promise.withResolvers<void>();
    const { places, groupId, source } = start({
      topics: [topic],
      onChunk: async (chunk) => {
        if (chunk.records[0].partition === 0) await gate.promise;
        return accept(chunk);
      },
    });
    await expect.poll(() => places().length, soon).toBe(6);
    const latencies: number[] = [];
    for (let round = 1; round <= 10; round++) {
      for (const partition of six) await produce(topic, [text('more')], { partition });
      const sentMs = performance.now();
      const wanted = 6 + round * 5;
      await expect.poll(() => places().length, { timeout: 20_000, interval: 10 }).toBe(wanted);
      latencies.push(performance.now() - sentMs);
    }
    const median = latencies.sort((a, b) => a - b)[5] as number;
    expect(median).toBeLessThan(1_000);
    expect(places().filter((place) => place.startsWith('0:'))).toEqual(['0:0']);
    expect(source.isHealthy()).toBe(true);
    expect(await membersOf(groupId)).toBe(1);
    gate.resolve();
    await expect.poll(() => committedOffset(groupId, topic, 0), soon).toBe(11);
    expect(places().filter((place) => place.startsWith('0:'))).toEqual(
      Array.from({ length: 11 }, (_, offset) => `0:${offset}`),
    );
  });

  it('all that are held keep their member in the group, healthy, beyond the session', async () => {
    const topic = await createTestTopic('all-held', { partitions: 2 });
    for (const partition of [0, 1]) await produce(topic, [text('a'), text('b')], { partition });
    const gate = Promise.withResolvers<void>();
    const outcomes: boolean[] = [];
    const { places, groupId, source, log } = start({
      topics: [topic],
      sessionTimeoutMs: 2_000,
      onChunk: async (chunk) => {
        await gate.promise;
        outcomes.push(await chunk.commitOffsets());
        return 'accepted';
      },
    });
    await expect.poll(() => places().length, soon).toBe(4);
    await sleep(5_000);
    expect(await membersOf(groupId)).toBe(1);
    expect(source.isHealthy()).toBe(true);
    gate.resolve();
    await expect.poll(() => outcomes, soon).toEqual([true, true]);
    await expect.poll(() => committedOffset(groupId, topic, 1), soon).toBe(2);
    expect(places()).toHaveLength(4);
    expect(log.filter((entry) => entry.level === 'error')).toEqual([]);
  });

  it('an abandoned chunk is delivered again, from the last committed offset on', async () => {
    const topic = await createTestTopic('abandoned');
    await produce(topic, ['a', 'b', 'c', 'd'].map(text));
    let tries = 0;
    const { places, groupId } = start({
      topics: [topic],
      onChunk: async (chunk) => {
        if (++tries > 2) return accept(chunk);
        if (tries === 1) await chunk.commitOffsets('1');
        else await sleep(600);
        return 'abandoned';
      },
    });
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(4);
    expect(places()).toEqual(['0:0', '0:1', '0:2', '0:3', '0:2', '0:3', '0:2', '0:3']);
  });

  it('are cut into chunks by records and bytes, in order, every one once', async () => {
    const topic = await createTestTopic('chunks');
    const chunks: string[] = [];
    const { places } = start({
      topics: [topic],
      chunkSizeMax: 3,
      chunkBytesMax: 250,
      onChunk: async (chunk) => {
        chunks.push(chunk.records.map((record) => record.value?.byteLength).join());
        return accept(chunk);
      },
    });
    await produce(
      topic,
      Array.from({ length: 6 }, () => text('x'.repeat(100))),
    );
    await produce(
      topic,
      Array.from({ length: 6 }, () => text('x')),
    );
    await expect.poll(() => places().length, soon).toBe(12);
    expect(chunks.slice(0, 2)).toEqual(['100,100', '100,100']);
    expect(chunks.slice(2).join()).toBe('100,100,1,1,1,1,1,1');
    expect(chunks.map((chunk) => chunk.split(',').length)).toContain(3);
    expect(chunks.every((chunk) => chunk.split(',').length <= 3)).toBe(true);
    expect(places()).toEqual(Array.from({ length: 12 }, (_, offset) => `0:${offset}`));
  });

  it('tells positions: committed, end, and nothing of partitions that are not its own', async () => {
    const topic = await createTestTopic('positions', { partitions: 2 });
    await produce(topic, ['a', 'b', 'c'].map(text));
    const { source } = start({ topics: [topic] });
    await expect
      .poll(() => source.positions(), soon)
      .toEqual([
        { topic, partition: 0, committed: '3', end: '3' },
        { topic, partition: 1, committed: null, end: '0' },
      ]);
    await source.stop();
    expect(await source.positions()).toEqual([]);
  });
});
