import { setTimeout as sleep } from 'node:timers/promises';
import {
  acceptAll,
  type ContractTests,
  createGate,
  numbered,
  soon,
  uniqueGroup,
  upTo,
  withMembers,
} from './source-member.ts';

export const membershipTests: ContractTests = {
  'commits nothing of a chunk whose membership is over: it comes again, to another member': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(4);
    const groupId = uniqueGroup();
    const partitions = [0, 1, 2, 3];
    await broker.produce(
      topic,
      partitions.flatMap((partition) => numbered(partition, 3)),
    );
    const gate = createGate();
    const answers = new Map<number, boolean>();
    await withMembers(broker, async (startMember) => {
      const first = startMember({ groupId, topics: [topic] }, async ({ records, commitOffsets }) => {
        await gate.passed;
        const { partition } = records[0];
        if (!answers.has(partition)) answers.set(partition, await commitOffsets());
        return 'accepted';
      });
      try {
        await vi.waitFor(() => expect(first.seen).toHaveLength(12), soon);
        const second = startMember({ groupId, topics: [topic] }, async () => 'accepted');
        await vi.waitFor(() => expect(second.seen.length).toBeGreaterThan(0), soon);
        const moved = new Set(second.seen.map(({ partition }) => partition));
        const lost = first.chunks.filter(({ records }) => moved.has(records[0].partition));
        expect(lost.map(({ signal }) => signal.aborted)).toEqual(lost.map(() => true));
        gate.open();
        await vi.waitFor(() => expect(answers.size).toBe(4), soon);
        for (const partition of moved) {
          expect(answers.get(partition)).toBe(false);
          expect(await broker.committedOffset(groupId, topic, partition)).toBeNull();
          expect(second.offsets(partition).slice(0, 3)).toEqual([0, 1, 2]);
        }
      } finally {
        gate.open();
      }
    });
  },

  'keeps its place in the group while a chunk takes longer than the session': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(2);
    const groupId = uniqueGroup();
    await broker.produce(
      topic,
      [0, 1].flatMap((partition) => numbered(partition, 3)),
    );
    const answers: boolean[] = [];
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic] }, async ({ commitOffsets, signal }) => {
        // Nothing is waited for here: it is the time itself that must not matter.
        await sleep(broker.sessionTimeoutMs * 1.6);
        expect(signal.aborted).toBe(false);
        answers.push(await commitOffsets());
        return 'accepted';
      });
      await vi.waitFor(() => expect(answers).toEqual([true, true]), soon);
      expect(member.seen).toHaveLength(6);
      expect(member.source.isHealthy()).toBe(true);
    });
    expect(await broker.committedOffset(groupId, topic, 0)).toBe('3');
  },

  'stops when the chunk in hand is finished and committed, and leaves its partitions at once': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(2);
    const groupId = uniqueGroup();
    await broker.produce(topic, numbered(0, 10));
    const gate = createGate();
    await withMembers(broker, async (startMember) => {
      const options = { groupId, topics: [topic], chunkSizeMax: 4 };
      const first = startMember(options, async (chunk) => {
        await gate.passed;
        return acceptAll(chunk);
      });
      await vi.waitFor(() => expect(first.seen).toHaveLength(4), soon);
      expect(first.source.isHealthy()).toBe(true);
      let hasStopped = false;
      const stopped = first.source.stop().then(() => {
        hasStopped = true;
      });
      await vi.waitFor(() => expect(first.chunks[0]?.signal.aborted).toBe(true), soon);
      await sleep(100);
      expect(hasStopped).toBe(false);
      gate.open();
      await stopped;
      expect(first.seen).toHaveLength(4);
      expect(first.source.isHealthy()).toBe(false);
      expect(await first.source.positions().catch(() => [])).toEqual([]);
      expect(await broker.committedOffset(groupId, topic, 0)).toBe('4');

      const begunMs = performance.now();
      const second = startMember({ groupId, topics: [topic] });
      await vi.waitFor(() => expect(second.offsets(0)).toEqual(upTo(10, 4)), soon);
      expect(performance.now() - begunMs).toBeLessThan(broker.sessionTimeoutMs);
    });
  },

  'leaves the group when it is stopped in the middle of a join': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(2);
    const groupId = uniqueGroup();
    await withMembers(broker, async (startMember) => {
      const first = startMember({ groupId, topics: [topic] });
      await vi.waitFor(() => expect(first.source.isHealthy()).toBe(true), soon);
      for (const afterMs of [0, 30, 150, 400, 800]) {
        const guest = startMember({ groupId, topics: [topic] });
        await sleep(afterMs); // the middle of the join is somewhere here
        await guest.source.stop();
      }
      const leftMs = performance.now();
      await broker.produce(
        topic,
        [0, 1].flatMap((partition) => numbered(partition, 5)),
      );
      await vi.waitFor(() => {
        for (const partition of [0, 1]) expect(first.offsets(partition).at(-1)).toBe(4);
      }, soon);
      expect(performance.now() - leftMs).toBeLessThan(broker.sessionTimeoutMs);
    });
  },

  'shares the partitions, and loses nothing while members come and go': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(6);
    const groupId = uniqueGroup();
    const partitions = upTo(6);
    const produced = (from: number) =>
      broker.produce(
        topic,
        partitions.flatMap((partition) => numbered(partition, 20, from)),
      );
    await withMembers(broker, async (startMember) => {
      const options = { groupId, topics: [topic], chunkSizeMax: 3 };
      const first = startMember(options);
      await produced(0);
      await vi.waitFor(() => expect(first.seen.length).toBeGreaterThan(10), soon);
      const second = startMember(options);
      await vi.waitFor(async () => {
        const own = await Promise.all([first, second].map(({ source }) => source.positions()));
        expect(own.map((positions) => positions.length)).toEqual([3, 3]);
      }, soon);
      await produced(20);
      await vi.waitFor(() => expect(second.seen.length).toBeGreaterThan(10), soon);
      await first.source.stop();
      await produced(40);
      await vi.waitFor(() => {
        for (const partition of partitions) {
          const seen = new Set([...first.offsets(partition), ...second.offsets(partition)]);
          expect([...seen].sort((a, b) => a - b)).toEqual(upTo(60));
        }
      }, soon);
    });
    for (const partition of partitions) {
      expect(await broker.committedOffset(groupId, topic, partition)).toBe('60');
    }
  },
};
