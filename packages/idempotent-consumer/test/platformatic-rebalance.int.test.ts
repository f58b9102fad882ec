import { testStack } from '@orders/dev-stack/testing';
import type { Consumer } from '@platformatic/kafka';
import { Kafka, logLevel } from 'kafkajs';
import { expect, it, vi } from 'vitest';
import type { PlatformaticConsumerOptions } from '../src/platformatic.ts';
import { acceptAll, numbered, soon, uniqueGroup, upTo, withMembers } from '../src/testing/source-member.ts';
import { createTestConsumer, groupProtocols, openPlatformatic } from './platformatic-fixture.ts';

it.concurrent.each(groupProtocols)(
  'platformatic/kafka#223: a member that takes partitions over goes on where they were committed (%s)',
  async (groupProtocol) => {
    const broker = await openPlatformatic({ groupProtocol });
    const topic = await broker.createTopic(8);
    const options = { groupId: uniqueGroup(), topics: [topic] };
    const partitions = upTo(8);
    const produce = (from: number) =>
      broker.produce(
        topic,
        partitions.flatMap((partition) => numbered(partition, 10, from)),
      );
    await withMembers(broker, async (startMember) => {
      const first = startMember(options);
      const second = startMember(options);
      await vi.waitFor(async () => {
        const own = await Promise.all([first, second].map(({ source }) => source.positions()));
        expect(own.map((positions) => positions.length)).toEqual([4, 4]);
      }, soon);
      await produce(0);
      await vi.waitFor(() => expect(first.seen.length + second.seen.length).toBe(80), soon);
      await vi.waitFor(async () => {
        const own = await Promise.all([first, second].map(({ source }) => source.positions()));
        expect(own.flat().map(({ committed }) => committed)).toEqual(partitions.map(() => '10'));
      }, soon);
      await second.source.stop();
      await produce(10);
      await vi.waitFor(() => {
        for (const partition of partitions) expect(first.offsets(partition).at(-1)).toBe(19);
      }, soon);
      // Not a single one of those that the other member had committed.
      for (const partition of partitions) {
        const wasSeconds = second.offsets(partition).length > 0;
        expect(first.offsets(partition)).toEqual(wasSeconds ? upTo(20, 10) : upTo(20));
      }
    });
    await broker.close();
  },
);

it.concurrent('platformatic/kafka#267: committed offsets asked for with a stale epoch are asked for again, not passed over', async () => {
  const refusals: string[] = [];
  const broker = await openPlatformatic({ groupProtocol: 'consumer' }, (options) =>
    refusedAtFirst(createTestConsumer(options), refusals),
  );
  const topic = await broker.createTopic(12);
  const partitions = upTo(12);
  const groupId = uniqueGroup();
  await broker.produce(
    topic,
    partitions.flatMap((partition) => numbered(partition, 10)),
  );
  await withMembers(broker, async (startMember) => {
    const early = startMember({ groupId, topics: [topic] });
    await vi.waitFor(() => expect(early.seen).toHaveLength(120), soon);
    await vi.waitFor(async () => {
      const positions = await early.source.positions();
      expect(positions.map(({ committed }) => committed)).toEqual(partitions.map(() => '10'));
    }, soon);
    await early.source.stop();
    // All at once, so that one epoch follows the other.
    const members = upTo(6).map(() => startMember({ groupId, topics: [topic] }));
    await vi.waitFor(async () => {
      const own = await Promise.all(members.map(({ source }) => source.positions()));
      expect(own.map((positions) => positions.length)).toEqual(members.map(() => 2));
    }, soon);
    await broker.produce(
      topic,
      partitions.flatMap((partition) => numbered(partition, 5, 10)),
    );
    await vi.waitFor(() => {
      for (const partition of partitions) {
        const seen = members.flatMap((member) => member.offsets(partition));
        expect([...new Set(seen)].sort((a, b) => a - b)).toEqual(upTo(15, 10));
      }
    }, soon);
  });
  expect(refusals.length).toBeGreaterThanOrEqual(7);
  expect(new Set(refusals)).toEqual(new Set(['STALE_MEMBER_EPOCH']));
  await broker.close();
});

/**
 * The broker refuses where the answer to a heartbeat that raises the epoch is still on its way. The first refusal of
 * each member is the test's own, since this depends on the moment.
 */
function refusedAtFirst(consumer: Consumer, refusals: string[]): Consumer {
  const ask = consumer.listCommittedOffsets.bind(consumer) as Consumer['listCommittedOffsets'];
  let hasRefused = false;
  consumer.listCommittedOffsets = (async (options: Parameters<typeof ask>[0]) => {
    try {
      if (!hasRefused) {
        hasRefused = true;
        throw Object.assign(new Error('stale'), { apiId: 'STALE_MEMBER_EPOCH', canRetry: false });
      }
      return await ask(options);
    } catch (error) {
      refusals.push(...codesOf(error));
      throw error;
    }
  }) as typeof ask;
  return consumer;
}

const codesOf = (error: unknown): string[] => {
  const { apiId, errors = [] } = error as { apiId?: string; errors?: unknown[] };
  return [...(apiId === undefined ? [] : [apiId]), ...errors.flatMap(codesOf)];
};

it.concurrent.each(groupProtocols)(
  'a member that the broker has put out comes back (%s)',
  async (groupProtocol) => {
    // The rebalance time-out is long, so that it is not the silence that brings it back.
    const consumers: { consumer: Consumer; options: PlatformaticConsumerOptions }[] = [];
    const broker = await openPlatformatic({ groupProtocol, rebalanceTimeoutMs: 60_000 }, (options) => {
      const consumer = createTestConsumer(options);
      consumers.push({ consumer, options });
      return consumer;
    });
    const topic = await broker.createTopic(2);
    const groupId = uniqueGroup();
    await withMembers(broker, async (startMember) => {
      const held = Promise.withResolvers<void>();
      const answers: boolean[] = [];
      const member = startMember({ groupId, topics: [topic] }, async (chunk) => {
        if (chunk.records[0].partition === 1 || answers.length > 0) return acceptAll(chunk);
        await held.promise;
        answers.push(await chunk.commitOffsets());
        return 'accepted';
      });
      await broker.produce(topic, numbered(0, 3));
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([0, 1, 2]), soon);
      await putOut(consumers[0] as (typeof consumers)[number]);
      await broker.produce(topic, numbered(1, 3));
      await vi.waitFor(() => expect(member.offsets(1)).toEqual([0, 1, 2]), soon);
      await vi.waitFor(() => expect(member.chunks[0]?.signal.aborted).toBe(true), soon);
      held.resolve();
      // Fetched before it was put out: the chunk counts for nothing, and comes again.
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([0, 1, 2, 0, 1, 2]), soon);
      expect(answers).toEqual([false]);
      await vi.waitFor(async () => expect(await broker.committedOffset(groupId, topic, 0)).toBe('3'), soon);
      await vi.waitFor(() => expect(member.source.isHealthy()).toBe(true), soon);
    });
    await broker.close();
  },
);

/** In the name of the member, over another connection: it is not told. */
async function putOut({ consumer, options }: { consumer: Consumer; options: PlatformaticConsumerOptions }) {
  const other = createTestConsumer(options);
  other.memberId = consumer.memberId;
  if (options.groupProtocol === 'classic') await other.leaveGroup();
  else {
    await other.findGroupCoordinator();
    await other.metadata({ topics: [], forceUpdate: true });
  }
  await other.close(true);
}

it('a topic that gets more partitions is consumed whole (classic)', async () => {
  const broker = await openPlatformatic({ metadataMaxAgeMs: 300 });
  const topic = await broker.createTopic(1);
  const groupId = uniqueGroup();
  const admin = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await withMembers(broker, async (startMember) => {
    const members = upTo(2).map(() => startMember({ groupId, topics: [topic] }));
    await vi.waitFor(() => expect(members.map(({ source }) => source.isHealthy())).toContain(true), soon);
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    await vi.waitFor(async () => {
      const own = await Promise.all(members.map(({ source }) => source.positions()));
      expect(own.flat()).toHaveLength(3);
    }, soon);
    await broker.produce(
      topic,
      upTo(3).flatMap((partition) => numbered(partition, 5)),
    );
    await vi.waitFor(() => expect(members.flatMap(({ seen }) => seen)).toHaveLength(15), soon);
  });
  await admin.disconnect();
  await broker.close();
});
