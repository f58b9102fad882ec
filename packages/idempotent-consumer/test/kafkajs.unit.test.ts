import type { EachBatchPayload, Kafka } from 'kafkajs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type KafkajsSourceOptions, kafkajsSource } from '../src/kafkajs.ts';
import type { Logger } from '../src/logger.ts';
import type { ChunkOutcome, RecordChunk } from '../src/source.ts';

/**
 * What a real broker does not do on demand: a re-join in the middle of a batch, a crash, a client that hangs. The
 * payloads, the cluster and its brokers have the shapes that kafkajs 2.2.4 gives them.
 */
function stubKafka() {
  const built: ReturnType<typeof stubConsumer>[] = [];
  const consumer = (config: ConsumerConfig) => {
    // One of these is asked for to leave the group from outside, and never run.
    const one = stubConsumer(config, () => built.push(one));
    return one;
  };
  return { kafka: { consumer } as unknown as Kafka, built };
}

type ConsumerConfig = NonNullable<Parameters<Kafka['consumer']>[0]>;
type Answer = { responses: { topicName: string; partitions: { partition: number; messages: object[] }[] }[] };

function stubConsumer(config: ConsumerConfig, onConnect: () => void) {
  const listeners = new Map<string, ((event: unknown) => void)[]>();
  const running = Promise.withResolvers<{ eachBatch(payload: EachBatchPayload): Promise<void> }>();
  let disconnects = 0;
  const coordinator = {
    joinGroup: async (_: { memberId: string }) => ({ memberId: 'm', generationId: 1 }),
  };
  const broker = {
    answer: Promise.resolve<Answer>({ responses: [] }),
    fetch: (_: unknown) => broker.answer,
    joinGroup: async (request: { memberId: string }) => coordinator.joinGroup(request),
    leaveGroup: async () => undefined,
  };
  const cluster = {
    findBroker: async () => broker,
    findGroupCoordinator: async () => broker,
    fetchTopicsOffset: async () => [],
    findTopicPartitionMetadata: () => [],
    connect: async () => undefined,
    disconnect: async () => undefined,
  };
  config.partitionAssigners?.[0]?.({ cluster, groupId: config.groupId, logger: {} } as never);
  const emit = (name: string, payload: unknown = {}) => {
    for (const listener of listeners.get(name) ?? []) listener({ payload });
  };
  return {
    events: { HEARTBEAT: 'heartbeat', FETCH: 'fetch', GROUP_JOIN: 'join', CRASH: 'crash' },
    on: (name: string, listener: (event: unknown) => void) => {
      listeners.set(name, [...(listeners.get(name) ?? []), listener]);
    },
    connect: async () => onConnect(),
    subscribe: async () => undefined,
    run: async (o: Awaited<typeof running.promise>) => running.resolve(o),
    disconnect: async () => {
      disconnects++;
    },
    seek: () => undefined,
    running: running.promise,
    emit,
    disconnects: () => disconnects,
    broker,
    coordinator,
    join: async () => {
      await (await cluster.findBroker()).joinGroup({ memberId: '' });
      emit('join', { memberAssignment: { t: [3] } });
    },
    fetch: async (offset = '1') => {
      await cluster.findBroker();
      const partitions = [{ partition: 3, fetchOffset: offset, maxBytes: 1 }];
      return broker.fetch({ topics: [{ topic: 't', partitions }], maxWaitTime: 10 });
    },
  };
}

const answerOf = (messages: object[]): Answer => ({
  responses: [{ topicName: 't', partitions: [{ partition: 3, messages }] }],
});

function stubBatch(offsets: string[], rawMessages?: object[]) {
  const resolved: string[] = [];
  const committed: unknown[] = [];
  const payload = {
    batch: {
      topic: 't',
      partition: 3,
      messages: offsets.map((offset) => ({ offset, key: null, value: null })),
      rawMessages,
    },
    isRunning: () => true,
    isStale: () => false,
    resolveOffset: (offset: string) => resolved.push(offset),
    // Partitions are texts here, and the offset has stepped over a control record.
    uncommittedOffsets: () => ({
      topics: [
        {
          topic: 't',
          partitions: [
            { partition: '0', offset: '7' },
            { partition: '3', offset: String(Number(resolved.at(-1)) + 2) },
          ],
        },
      ],
    }),
    commitOffsetsIfNecessary: async (offsets: unknown) => {
      committed.push(offsets);
    },
  };
  return { payload: payload as unknown as EachBatchPayload, resolved, committed };
}

const options = {
  groupId: 'g',
  topics: ['t'],
  chunkSizeMax: 2,
  sessionTimeoutMs: 600,
  heartbeatIntervalMs: 200,
  rebalanceTimeoutMs: 600_000,
  stopTimeoutMs: 50,
};

/** A source whose first kafkajs consumer has joined. */
async function startSource(onChunk: (chunk: RecordChunk) => Promise<ChunkOutcome>, changed = {}) {
  const { kafka, built } = stubKafka();
  const source = kafkajsSource({ kafka }, { ...options, ...changed });
  onTestFinished(() => source.stop());
  const warnings: { failures?: number }[] = [];
  const logger: Logger = {
    debug() {},
    info() {},
    warn: (fields) => void warnings.push(fields),
    error() {},
  };
  source.start({ onChunk, logger, count: () => undefined });
  await expect.poll(() => built.length).toBe(1);
  const consumer = built[0] as ReturnType<typeof stubConsumer>;
  const { eachBatch } = await consumer.running;
  await consumer.join();
  return { source, built, consumer, eachBatch, warnings };
}

const accept = async (chunk: RecordChunk): Promise<ChunkOutcome> => {
  await chunk.commitOffsets();
  return 'accepted';
};
const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

describe('a batch', () => {
  it('is committed, for its own partition, up to what kafkajs says is next', async () => {
    const chunks: string[][] = [];
    const { eachBatch } = await startSource(async (chunk) => {
      chunks.push(chunk.records.map((record) => record.offset));
      return accept(chunk);
    });
    const { payload, resolved, committed } = stubBatch(['10', '11', '12']);
    await eachBatch(payload);
    expect(chunks).toEqual([['10', '11'], ['12']]);
    expect(resolved).toEqual(['11', '12']);
    expect(committed).toEqual(
      ['13', '14'].map((offset) => ({ topics: [{ topic: 't', partitions: [{ partition: '3', offset }] }] })),
    );
  });

  it('fetched before a re-join and begun after it is neither handled nor committed', async () => {
    const handled: string[] = [];
    const { consumer, eachBatch } = await startSource(async (chunk) => {
      handled.push(chunk.records[0].offset);
      return accept(chunk);
    });
    const old = [{ offset: '1' }];
    consumer.broker.answer = Promise.resolve(answerOf(old));
    await consumer.fetch();
    await consumer.join();
    const stale = stubBatch(['1'], old);
    await eachBatch(stale.payload);
    expect([...handled, ...stale.resolved, ...stale.committed]).toEqual([]);

    const fresh = [{ offset: '1' }];
    consumer.broker.answer = Promise.resolve(answerOf(fresh));
    await consumer.fetch();
    await eachBatch(stubBatch(['1'], fresh).payload);
    expect(handled).toEqual(['1']);
  });

  it('that comes in answer to a fetch begun before a re-join is given to nobody', async () => {
    const { consumer } = await startSource(accept);
    const answer = Promise.withResolvers<Answer>();
    consumer.broker.answer = answer.promise;
    const fetched = consumer.fetch();
    await consumer.join();
    answer.resolve(answerOf([{ offset: '1' }]));
    expect(await fetched).toEqual({ responses: [] });
  });

  it('during which the member re-joins is told so, and then neither resolved nor committed nor continued', async () => {
    const outcomes: boolean[] = [];
    const { consumer, eachBatch } = await startSource(async (chunk) => {
      const joined = consumer.join();
      await untilAborted(chunk.signal);
      await joined;
      outcomes.push(await chunk.commitOffsets());
      return 'accepted';
    });
    const { payload, resolved, committed } = stubBatch(['1', '2', '3']);
    await eachBatch(payload);
    await expect.poll(() => outcomes).toEqual([false]);
    expect([...resolved, ...committed]).toEqual([]);
  });

  it('is not fetched again from an offset that kafkajs chose before the last one was taken over', async () => {
    const { consumer, eachBatch } = await startSource(accept);
    await eachBatch(stubBatch(['1']).payload); // 3 is next
    consumer.broker.answer = Promise.resolve(answerOf([{ offset: '1' }]));
    expect(await consumer.fetch('1')).toEqual({ responses: [] });
    expect(await consumer.fetch('3')).toEqual(answerOf([{ offset: '1' }]));
    await consumer.join(); // another generation begins where the group is
    expect(await consumer.fetch('1')).toEqual(answerOf([{ offset: '1' }]));
  });

  it('that is abandoned is not resolved, and nothing behind it is begun', async () => {
    let chunks = 0;
    const { eachBatch } = await startSource(async () => {
      chunks++;
      return 'abandoned';
    });
    const { payload, resolved } = stubBatch(['1', '2', '3']);
    await eachBatch(payload);
    expect({ chunks, resolved }).toEqual({ chunks: 1, resolved: [] });
  });

  it('whose commit fails gives kafkajs its own error, also when it has been held', async () => {
    const rebalance = Object.assign(new Error('rebalancing'), { type: 'REBALANCE_IN_PROGRESS' });
    const gate = Promise.withResolvers<void>();
    let isSlow = false;
    const { consumer, eachBatch } = await startSource(async (chunk) => {
      if (isSlow) await gate.promise;
      return accept(chunk);
    });
    const failing = () => {
      const { payload } = stubBatch(['1']);
      return Object.assign(payload, { commitOffsetsIfNecessary: () => Promise.reject(rebalance) });
    };
    await expect(eachBatch(failing())).rejects.toBe(rebalance);
    isSlow = true;
    await eachBatch(failing());
    expect(await consumer.fetch()).toEqual({ responses: [] });
    gate.resolve();
    await expect.poll(() => consumer.fetch().catch((error: unknown) => error)).toBe(rebalance);
    consumer.broker.answer = Promise.resolve(answerOf([{ offset: '1' }]));
    expect(await consumer.fetch()).toEqual(answerOf([{ offset: '1' }]));
  });
});

describe('a consumer of kafkajs', () => {
  it('that crashes is closed and built anew; stop ends that', async () => {
    const { source, built, consumer } = await startSource(accept);
    expect(source.isHealthy()).toBe(true);
    consumer.emit('crash', { error: new Error('non-retriable') });
    await expect.poll(() => built.length, { timeout: 5_000 }).toBe(2);
    expect(source.isHealthy()).toBe(false);
    expect(consumer.disconnects()).toBe(1);
    await built[1]?.running;
    await built[1]?.join();
    expect(source.isHealthy()).toBe(true);
    await source.stop();
    expect(built[1]?.disconnects()).toBe(1);
    expect(built).toHaveLength(2);
  });

  it('whose coordinator is still loading asks again', async () => {
    const { consumer, warnings } = await startSource(accept);
    const { joinGroup } = consumer.coordinator;
    let tries = 0;
    consumer.coordinator.joinGroup = async (request) => {
      if (++tries < 3) throw Object.assign(new Error('loading'), { type: 'GROUP_LOAD_IN_PROGRESS' });
      return joinGroup(request);
    };
    await consumer.join();
    expect(tries).toBe(3);
    expect(warnings).toEqual([]);
  });

  it('that only sends heartbeats is unhealthy, and built anew', async () => {
    const { source, built, consumer } = await startSource(accept);
    const beat = setInterval(() => consumer.emit('heartbeat'), 10);
    onTestFinished(() => clearInterval(beat));
    await expect.poll(() => source.isHealthy(), { timeout: 5_000 }).toBe(false);
    await expect.poll(() => built.length, { timeout: 5_000 }).toBe(2);
  });

  it('whose fetches fail is unhealthy, whatever kafkajs says of them', async () => {
    const { source, consumer } = await startSource(accept);
    const lost = Object.assign(new Error('closed'), { name: 'KafkaJSConnectionClosedError' });
    const fetched = setInterval(() => consumer.emit('fetch'), 10);
    onTestFinished(() => clearInterval(fetched));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(source.isHealthy()).toBe(true);
    consumer.broker.answer = Promise.reject(lost);
    await expect(consumer.fetch()).rejects.toBe(lost);
    await expect.poll(() => source.isHealthy(), { timeout: 5_000 }).toBe(false);
  });

  it('that joins and dies again without having done anything is built anew ever more slowly', async () => {
    const { built, warnings, eachBatch } = await startSource(accept);
    for (let i = 0; i < 3; i++) {
      await expect.poll(() => built.length, { timeout: 10_000 }).toBe(i + 1);
      await built[i]?.running;
      await built[i]?.join();
      if (i === 0) await eachBatch(stubBatch(['1']).payload);
      built[i]?.emit('crash', { error: new Error('again') });
    }
    await expect.poll(() => warnings.map((fields) => fields.failures)).toEqual([1, 2, 3]);
  });
});

it.each<[string, Partial<KafkajsSourceOptions>]>([
  ['no topic', { topics: [] }],
  ['no group', { groupId: '' }],
  ['empty chunks', { chunkSizeMax: 0 }],
  ['heartbeats that are too far apart', { sessionTimeoutMs: 6_000, heartbeatIntervalMs: 3_000 }],
  ['a place to begin that is none', { begin: 'somewhere' as never }],
  ['a policy that is none', { offsetOutOfRange: 'skip' as never }],
])('refuses %s', (_, changed) => {
  const { kafka } = stubKafka();
  const refused = expect.objectContaining({ code: 'CONSUMER_OPTION_INVALID' });
  expect(() => kafkajsSource({ kafka }, { groupId: 'g', topics: ['t'], ...changed })).toThrow(refused);
});
