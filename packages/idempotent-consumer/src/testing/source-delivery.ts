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

export const deliveryTests: ContractTests = {
  'delivers every record of every partition once, in order, in chunks that are no larger than the limit':
    async ({ expect, vi }, broker) => {
      const topic = await broker.createTopic(3);
      const groupId = uniqueGroup();
      const all = [0, 1, 2].flatMap((partition) => numbered(partition, 200));
      await broker.produce(topic, all.slice(0, 300));
      await withMembers(broker, async (startMember) => {
        const member = startMember({ groupId, topics: [topic], chunkSizeMax: 7 });
        await vi.waitFor(() => expect(member.seen).toHaveLength(300), soon);
        await broker.produce(topic, all.slice(300));
        await vi.waitFor(() => expect(member.seen).toHaveLength(600), soon);
        for (const partition of [0, 1, 2]) expect(member.offsets(partition)).toEqual(upTo(200));
        const sizes = member.chunks.map(({ records }) => records.length);
        expect(Math.max(...sizes)).toBe(7);
        for (const { records } of member.chunks) {
          expect(new Set(records.map(({ partition }) => partition)).size).toBe(1);
        }
      });
      for (const partition of [0, 1, 2]) {
        expect(await broker.committedOffset(groupId, topic, partition)).toBe('200');
      }
    },

  'has one chunk of a partition in hand at a time': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(2);
    await broker.produce(
      topic,
      [0, 1].flatMap((partition) => numbered(partition, 50)),
    );
    const inHand = [0, 0];
    let most = 0;
    await withMembers(broker, async (startMember) => {
      const options = { groupId: uniqueGroup(), topics: [topic], chunkSizeMax: 5 };
      const member = startMember(options, async (chunk) => {
        const { partition } = chunk.records[0];
        inHand[partition] = (inHand[partition] ?? 0) + 1;
        most = Math.max(most, ...inHand);
        const outcome = await acceptAll(chunk);
        inHand[partition]--;
        return outcome;
      });
      await vi.waitFor(() => expect(member.seen).toHaveLength(100), soon);
      expect(most).toBe(1);
    });
  },

  'delivers all other partitions while a chunk of one is not dealt with': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(4);
    await broker.produce(
      topic,
      [0, 1, 2, 3].flatMap((partition) => numbered(partition, 10)),
    );
    const gate = createGate();
    await withMembers(broker, async (startMember) => {
      const options = { groupId: uniqueGroup(), topics: [topic], chunkSizeMax: 10 };
      const member = startMember(options, async (chunk) => {
        if (chunk.records[0].partition === 0) await gate.passed;
        return acceptAll(chunk);
      });
      try {
        await vi.waitFor(() => expect(member.offsets(0).length).toBeGreaterThan(0), soon);
        // Several fetches: what was fetched with the held chunk proves nothing.
        for (let end = 10; end <= 40; end += 10) {
          await vi.waitFor(() => {
            for (const partition of [1, 2, 3]) expect(member.offsets(partition)).toEqual(upTo(end));
          }, soon);
          await broker.produce(
            topic,
            [0, 1, 2, 3].flatMap((partition) => numbered(partition, 10, end)),
          );
        }
        expect(member.chunks.filter(({ records }) => records[0].partition === 0)).toHaveLength(1);
        expect(member.source.isHealthy()).toBe(true);
      } finally {
        gate.open();
      }
      await vi.waitFor(() => expect(member.offsets(0)).toEqual(upTo(50)), soon);
    });
  },

  'delivers a chunk again that was abandoned, from the last offset that was committed': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(1);
    const groupId = uniqueGroup();
    await broker.produce(topic, numbered(0, 10));
    let tries = 0;
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic], chunkSizeMax: 4 }, async (chunk) => {
        if (chunk.records[0].offset !== '4' || ++tries > 2) return acceptAll(chunk);
        if (tries === 2) await chunk.commitOffsets('5');
        return 'abandoned';
      });
      await vi.waitFor(() => expect(member.offsets(0).at(-1)).toBe(9), soon);
      expect(member.offsets(0)).toEqual([...upTo(8), ...upTo(8, 4), ...upTo(10, 6)]);
    });
    expect(await broker.committedOffset(groupId, topic, 0)).toBe('10');
  },

  'cuts what it fetched at the limit of bytes, and delivers a larger record alone': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(1);
    const sizes = [3_000, 3_000, 3_000, 3_000, 50_000, 3_000, 3_000];
    await broker.produce(
      topic,
      sizes.map((size) => ({ partition: 0, value: Buffer.alloc(size, 'x') })),
    );
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId: uniqueGroup(), topics: [topic], chunkBytesMax: 10_000 });
      await vi.waitFor(() => expect(member.seen).toHaveLength(sizes.length), soon);
      for (const { records } of member.chunks) {
        const bytes = records.reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0);
        expect(records.length === 1 || bytes <= 10_000).toBe(true);
      }
      expect(member.offsets(0)).toEqual(upTo(sizes.length));
    });
  },
};
