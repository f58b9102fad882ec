import {
  acceptAll,
  type ContractTests,
  numbered,
  soon,
  uniqueGroup,
  upTo,
  withMembers,
} from './source-member.ts';

export const offsetTests: ContractTests = {
  'commits only what it is told to, and tells it in its positions': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(1);
    const groupId = uniqueGroup();
    await broker.produce(topic, numbered(0, 10));
    const committed: boolean[] = [];
    await withMembers(broker, async (startMember) => {
      const options = { groupId, topics: [topic], chunkSizeMax: 5 };
      const member = startMember(options, async ({ records, commitOffsets }) => {
        if (records[0].offset === '5') committed.push(await commitOffsets('6'));
        return 'accepted';
      });
      await vi.waitFor(() => expect(committed).toEqual([true]), soon);
      expect(await broker.committedOffset(groupId, topic, 0)).toBe('7');
      expect(await member.source.positions()).toEqual([{ topic, partition: 0, committed: '7', end: '10' }]);
      await member.source.stop();
      expect(await broker.committedOffset(groupId, topic, 0)).toBe('7');
      const next = startMember({ groupId, topics: [topic] });
      await vi.waitFor(() => expect(next.offsets(0)).toEqual([7, 8, 9]), soon);
    });
  },

  'commits nothing by itself, so that all comes again to the next member': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(1);
    const groupId = uniqueGroup();
    await broker.produce(topic, numbered(0, 10));
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic] }, async () => 'accepted');
      await vi.waitFor(() => expect(member.offsets(0)).toEqual(upTo(10)), soon);
      const [position] = await member.source.positions();
      expect(position).toMatchObject({ committed: null, end: '10' });
      await member.source.stop();
      expect(await broker.committedOffset(groupId, topic, 0)).toBeNull();
      const next = startMember({ groupId, topics: [topic] });
      await vi.waitFor(() => expect(next.offsets(0)).toEqual(upTo(10)), soon);
    });
  },

  'leaves the group only when commits that are under way have ended': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(3);
    const groupId = uniqueGroup();
    await broker.produce(
      topic,
      upTo(3).flatMap((partition) => numbered(partition, 50)),
    );
    await withMembers(broker, async (startMember) => {
      const answers: Promise<boolean>[] = [];
      const options = { groupId, topics: [topic], chunkSizeMax: 1 };
      const member = startMember(options, async ({ commitOffsets }) => {
        answers.push(commitOffsets());
        return 'accepted';
      });
      await vi.waitFor(() => expect(member.seen.length).toBeGreaterThan(10), soon);
      await member.source.stop();
      expect(await Promise.all(answers)).toEqual(answers.map(() => true));
      for (const partition of upTo(3)) {
        const delivered = member.offsets(partition).length;
        const committed = await broker.committedOffset(groupId, topic, partition);
        expect(committed).toBe(delivered === 0 ? null : String(delivered));
      }
    });
  },

  'begins a new group at the first record, and a known one where it was': async ({ expect, vi }, broker) => {
    const topic = await broker.createTopic(1);
    const groupId = uniqueGroup();
    await broker.produce(topic, numbered(0, 3));
    await withMembers(broker, async (startMember) => {
      const first = startMember({ groupId, topics: [topic], begin: 'earliest' });
      await vi.waitFor(() => expect(first.offsets(0)).toEqual([0, 1, 2]), soon);
      await first.source.stop();
      await broker.produce(topic, numbered(0, 2, 3));
      const second = startMember({ groupId, topics: [topic], begin: 'latest' });
      await vi.waitFor(() => expect(second.offsets(0)).toEqual([3, 4]), soon);
    });
  },

  'begins a new group behind the last record, and leaves out nothing that comes then': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(1);
    const groupId = uniqueGroup();
    await broker.produce(topic, numbered(0, 3));
    await withMembers(broker, async (startMember) => {
      const first = startMember({ groupId, topics: [topic], begin: 'latest' });
      await vi.waitFor(async () => {
        expect(first.source.isHealthy()).toBe(true);
        expect((await first.source.positions()).map(({ committed }) => committed)).toEqual(['3']);
      }, soon);
      await first.source.stop();
      expect(first.seen).toEqual([]);
      // Nobody was there when they came.
      await broker.produce(topic, numbered(0, 2, 3));
      const second = startMember({ groupId, topics: [topic], begin: 'latest' });
      await vi.waitFor(() => expect(second.offsets(0)).toEqual([3, 4]), soon);
    });
  },

  'begins a new group at a time, or behind the last record where there is none so late': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(2);
    const at = (partition: number, n: number) => ({
      partition,
      value: Buffer.from(String(n)),
      timestampMs: 1_700_000_000_000 + n * 1_000,
    });
    await broker.produce(topic, [...upTo(10).map((n) => at(0, n)), at(1, 0)]);
    await withMembers(broker, async (startMember) => {
      const begin = { timestampMs: 1_700_000_006_500 };
      const member = startMember({ groupId: uniqueGroup(), topics: [topic], begin });
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([7, 8, 9]), soon);
      await vi.waitFor(async () => {
        const positions = await member.source.positions();
        expect(positions.find(({ partition }) => partition === 1)?.committed).toBe('1');
      }, soon);
      await broker.produce(topic, [at(1, 1)]);
      await vi.waitFor(() => expect(member.offsets(1)).toEqual([1]), soon);
    });
  },

  'goes on at the first record where its offset is gone, with an error and a count': async (
    { expect, vi },
    broker,
  ) => {
    const { topic, groupId } = await withOffsetGone(broker);
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic], offsetOutOfRange: 'earliest' });
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([8, 9]), soon);
      expect(member.counts).toEqual(['offsetResets']);
      expect(member.errors).toMatchObject([{ topic, partition: 0, from: '5', to: '8' }]);
    });
  },

  'goes on behind the last record where its offset is gone, with an error and a count': async (
    { expect, vi },
    broker,
  ) => {
    const { topic, groupId } = await withOffsetGone(broker);
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic], offsetOutOfRange: 'latest' });
      await vi.waitFor(() => expect(member.counts).toEqual(['offsetResets']), soon);
      expect(member.errors).toMatchObject([{ topic, partition: 0, from: '5', to: '10' }]);
      await broker.produce(topic, numbered(0, 1, 10));
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([10]), soon);
    });
  },

  'delivers nothing of a partition whose offset is gone where it shall stop then, and is not healthy': async (
    { expect, vi },
    broker,
  ) => {
    const { topic, groupId } = await withOffsetGone(broker);
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic], offsetOutOfRange: 'stop' });
      await vi.waitFor(() => expect(member.counts).toEqual(['offsetResets']), soon);
      expect(member.errors).toMatchObject([{ topic, partition: 0, from: '5', to: '8' }]);
      await vi.waitFor(() => expect(member.source.isHealthy()).toBe(false), soon);
      expect(member.offsets(0)).toEqual([]);
    });
    expect(await broker.committedOffset(groupId, topic, 0)).toBe('5');
  },
};

/** A group that has committed offset 5 of a partition that begins at 8 and ends at 10. */
async function withOffsetGone(broker: Parameters<ContractTests[string]>[1]) {
  const topic = await broker.createTopic(2);
  const groupId = uniqueGroup();
  await broker.produce(topic, numbered(0, 10));
  await withMembers(broker, async (startMember) => {
    const done = Promise.withResolvers<void>();
    startMember({ groupId, topics: [topic], chunkSizeMax: 5 }, async (chunk) => {
      if (chunk.records[0].offset !== '0') return 'accepted';
      const outcome = await acceptAll(chunk);
      done.resolve();
      return outcome;
    });
    await done.promise;
  });
  await broker.deleteRecords(topic, 0, 8);
  return { topic, groupId };
}
