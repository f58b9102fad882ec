import { setTimeout as sleep } from 'node:timers/promises';
import { startOwnKafka } from '@orders/dev-stack/own-servers';
import { testStack, uniqueName } from '@orders/dev-stack/testing';
import { Admin, type Consumer } from '@platformatic/kafka';
import { expect, it, vi } from 'vitest';
import type { PlatformaticSourceOptions } from '../src/platformatic.ts';
import { platformaticSource } from '../src/platformatic.ts';
import {
  acceptAll,
  createGate,
  numbered,
  soon,
  uniqueGroup,
  upTo,
  withMembers,
} from '../src/testing/source-member.ts';
import { createTestConsumer, groupProtocols, openPlatformatic } from './platformatic-fixture.ts';

it.concurrent.each(groupProtocols)(
  'comes back when its client is closed under it (%s)',
  async (groupProtocol) => {
    const consumers: Consumer[] = [];
    const broker = await openPlatformatic({ groupProtocol }, (options) => {
      const consumer = createTestConsumer(options);
      consumers.push(consumer);
      return consumer;
    });
    const topic = await broker.createTopic(1);
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId: uniqueGroup(), topics: [topic] });
      await broker.produce(topic, numbered(0, 3));
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([0, 1, 2]), soon);
      await consumers[0]?.close(true);
      await broker.produce(topic, numbered(0, 3, 3));
      await vi.waitFor(() => expect(member.offsets(0).at(-1)).toBe(5), soon);
      expect(member.counts).toEqual(['sourceRestarts']);
      expect(member.source.isHealthy()).toBe(true);
    });
    await broker.close();
  },
);

it.concurrent.each(groupProtocols)(
  'begins when the broker can be reached, however late (%s)',
  async (groupProtocol) => {
    let tries = 0;
    const broker = await openPlatformatic({ groupProtocol }, (options) =>
      createTestConsumer(options, ++tries <= 2 ? ['127.0.0.1:1'] : testStack().kafkaBrokers),
    );
    const topic = await broker.createTopic(1);
    await broker.produce(topic, numbered(0, 3));
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId: uniqueGroup(), topics: [topic] });
      expect(member.source.isHealthy()).toBe(false);
      await vi.waitFor(() => expect(member.offsets(0)).toEqual([0, 1, 2]), soon);
      expect(member.counts).toEqual(['sourceRestarts', 'sourceRestarts']);
    });
    await broker.close();
  },
);

it.concurrent('stops at once while the broker cannot be reached', async () => {
  const broker = await openPlatformatic({}, (options) => createTestConsumer(options, ['127.0.0.1:1']));
  await withMembers(broker, async (startMember) => {
    const member = startMember({ groupId: uniqueGroup(), topics: ['any'] });
    await vi.waitFor(() => expect(member.counts.length).toBeGreaterThan(0), soon);
    const begunMs = performance.now();
    await member.source.stop();
    expect(performance.now() - begunMs).toBeLessThan(3_000);
  });
  await broker.close();
});

it.concurrent('waits for a topic that does not exist yet', async () => {
  const broker = await openPlatformatic({});
  const late = uniqueName('late');
  const admin = new Admin({ clientId: 'source-test', bootstrapBrokers: testStack().kafkaBrokers });
  await withMembers(broker, async (startMember) => {
    const member = startMember({ groupId: uniqueGroup(), topics: [late] });
    await vi.waitFor(() => expect(member.counts.length).toBeGreaterThan(0), soon);
    expect(member.source.isHealthy()).toBe(false);
    await admin.createTopics({ topics: [late], partitions: 1, replicas: 1 });
    await vi.waitFor(() => broker.produce(late, numbered(0, 3)), soon);
    await vi.waitFor(() => expect(member.offsets(0)).toEqual([0, 1, 2]), soon);
  });
  await admin.close();
  await broker.close();
});

it.concurrent('a stop in the middle of a join that takes long leaves the group at once', async () => {
  const broker = await openPlatformatic({ heartbeatIntervalMs: 500 });
  const topic = await broker.createTopic(1);
  const groupId = uniqueGroup();
  // It does not hear that others join until its next heartbeat, and they wait for it.
  const deaf = createTestConsumer({
    groupId,
    groupProtocol: 'classic',
    sessionTimeout: 30_000,
    rebalanceTimeout: 30_000,
    heartbeatInterval: 25_000,
    requestTimeout: 35_000,
    autocommit: false,
    autocreateTopics: false,
    retries: 0,
  });
  await deaf.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest', autocommit: false });
  const admin = new Admin({ clientId: 'source-test', bootstrapBrokers: testStack().kafkaBrokers });
  const members = async () => (await admin.describeGroups({ groups: [groupId] })).get(groupId)?.members.size;
  await withMembers(broker, async (startMember) => {
    const { source } = startMember({ groupId, topics: [topic] });
    await vi.waitFor(async () => expect(await members()).toBe(2), soon);
    const begunMs = performance.now();
    await source.stop();
    expect(performance.now() - begunMs).toBeLessThan(4_000);
    expect(await members()).toBe(1);
  });
  await deaf.close(true);
  await admin.close();
  await broker.close();
});

it.concurrent('fetches no more than it may hold while nothing is dealt with', async () => {
  let fetchedBytes = 0;
  const fetchBytesMax = 2 * 1024 * 1024;
  const broker = await openPlatformatic({ fetchBytesMax }, (options) => {
    const consumer = createTestConsumer(options);
    const fetch = consumer.fetch.bind(consumer) as Consumer['fetch'];
    consumer.fetch = (async (request: Parameters<typeof fetch>[0]) => {
      const answer = await fetch(request);
      for (const { partitions } of answer.responses)
        for (const { records } of partitions) for (const { length } of records ?? []) fetchedBytes += length;
      return answer;
    }) as typeof fetch;
    return consumer;
  });
  const topic = await broker.createTopic(4);
  const value = Buffer.alloc(100_000);
  for (let round = 0; round < 20; round++) {
    await broker.produce(
      topic,
      upTo(4).flatMap((partition) => upTo(5).map(() => ({ partition, value }))),
    );
  }
  const gate = createGate();
  await withMembers(broker, async (startMember) => {
    const member = startMember({ groupId: uniqueGroup(), topics: [topic] }, async (chunk) => {
      await gate.passed;
      return acceptAll(chunk);
    });
    await vi.waitFor(() => expect(member.chunks).toHaveLength(4), soon);
    // Of 40 MB. Nothing tells that no more comes, but that nothing more has come for some fetches' time.
    await sleep(1_500);
    expect(fetchedBytes).toBeLessThanOrEqual(2 * fetchBytesMax + 4 * value.length);
    gate.open();
    await vi.waitFor(() => expect(member.seen).toHaveLength(400), soon);
  });
  await broker.close();
});

it.concurrent('a batch that cannot be read holds up its own partition only, and is told with its offset', async () => {
  let isUnreadable = false;
  let areAllFetched = false;
  const broker = await openPlatformatic({}, (options) => {
    const consumer = createTestConsumer(options);
    const fetch = consumer.fetch.bind(consumer) as Consumer['fetch'];
    consumer.fetch = (async (request: Parameters<typeof fetch>[0]) => {
      const partitions = request.topics.flatMap((one) => one.partitions);
      const bad = partitions.find(({ partition, fetchOffset }) => partition === 0 && fetchOffset === 3n);
      if (bad !== undefined && partitions.length === 3) areAllFetched = true;
      const answer = await fetch(request);
      // What the client does with bytes that it cannot decode: the whole answer is lost.
      if (bad !== undefined && isUnreadable)
        throw new RangeError('offset is outside the bounds of the buffer');
      return answer;
    }) as typeof fetch;
    return consumer;
  });
  const topic = await broker.createTopic(3);
  await broker.produce(topic, numbered(0, 3));
  await withMembers(broker, async (startMember) => {
    const member = startMember({ groupId: uniqueGroup(), topics: [topic] });
    await vi.waitFor(() => expect(member.offsets(0)).toEqual([0, 1, 2]), soon);
    await vi.waitFor(() => expect(areAllFetched).toBe(true), soon);
    isUnreadable = true;
    await broker.produce(
      topic,
      [0, 1, 2].flatMap((partition) => numbered(partition, 3, 3)),
    );
    await vi.waitFor(() => {
      for (const partition of [1, 2]) expect(member.offsets(partition)).toEqual(upTo(3));
    }, soon);
    await vi.waitFor(() => expect(member.counts).toContain('unreadableBatches'), soon);
    expect(member.errors[0]).toMatchObject({ topic, partition: 0, offset: '3' });
    isUnreadable = false;
    await vi.waitFor(() => expect(member.offsets(0)).toEqual(upTo(6)), soon);
  });
  await broker.close();
});

it.concurrent('comes back by itself when the broker was killed and started again, and loses nothing', {
  timeout: 120_000,
}, async () => {
  const kafka = await startOwnKafka();
  try {
    const open = (groupProtocol: PlatformaticSourceOptions['groupProtocol']) =>
      openPlatformatic(
        { ...(groupProtocol && { groupProtocol }), sessionTimeoutMs: 2_000, rebalanceTimeoutMs: 4_000 },
        (options) => createTestConsumer(options, kafka.brokers),
        kafka.brokers,
      );
    const broker = await open('classic');
    const topic = await broker.createTopic(2);
    await broker.produce(
      topic,
      [0, 1].flatMap((partition) => numbered(partition, 5)),
    );
    await withMembers(broker, async (startMember) => {
      const classic = startMember({ groupId: uniqueGroup(), topics: [topic] });
      await withMembers(await open('consumer'), async (startOther) => {
        const modern = startOther({ groupId: uniqueGroup(), topics: [topic] });
        for (const member of [classic, modern]) {
          await vi.waitFor(() => expect(member.seen).toHaveLength(10), soon);
        }
        await kafka.kill();
        await vi.waitFor(() => expect(classic.source.isHealthy()).toBe(false), soon);
        await kafka.start();
        await vi.waitFor(() => broker.produce(topic, numbered(0, 1, 5)), soon);
        for (const member of [classic, modern]) {
          await vi.waitFor(() => expect(member.offsets(0).at(-1)).toBeGreaterThanOrEqual(5), soon);
          expect(new Set(member.offsets(1))).toEqual(new Set(upTo(5)));
          await vi.waitFor(() => expect(member.source.isHealthy()).toBe(true), soon);
        }
      });
    });
    await broker.close();
  } finally {
    await kafka.close();
  }
});

it.each([
  [{ groupId: '' }, 'groupId'],
  [{ topics: [] }, 'topics'],
  [{ chunkSizeMax: 0 }, 'chunkSizeMax'],
  [{ fetchBytesMax: 1.5 }, 'fetchBytesMax'],
  [{ sessionTimeoutMs: 90_000 }, 'rebalanceTimeoutMs'],
  [{ heartbeatIntervalMs: 11_000 }, 'heartbeatIntervalMs'],
  [{ begin: { timestampMs: Number.NaN } }, 'begin'],
])('refuses %j', (wrong, name) => {
  const deps = { createConsumer: createTestConsumer };
  const error = { code: 'CONSUMER_OPTION_INVALID', message: expect.stringContaining(name) };
  expect(() => platformaticSource(deps, { groupId: 'g', topics: ['t'], ...wrong })).toThrow(
    expect.objectContaining(error),
  );
});
