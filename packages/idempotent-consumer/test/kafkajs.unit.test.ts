import type { EachBatchPayload, Kafka } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { createKafkajsSource } from '../src/kafkajs.ts';
import { silentLogger } from '../src/logger.ts';
import type { ChunkOutcome, RecordChunk } from '../src/source.ts';

/**
 * What a real broker does not do on demand: a re-join in the middle of a batch, a crash, a client that hangs. The
 * payloads have the shapes that kafkajs 2.2.4 gives them.
 */
function stubKafka() {
  const built: ReturnType<typeof stubConsumer>[] = [];
  const kafka = { consumer: () => built[built.push(stubConsumer()) - 1] } as unknown as Kafka;
  return { kafka, built };
}

function stubConsumer() {
  const listeners = new Map<string, (event: unknown) => void>();
  const running = Promise.withResolvers<{ eachBatch(payload: EachBatchPayload): Promise<void> }>();
  let disconnects = 0;
  return {
    events: { HEARTBEAT: 'heartbeat', FETCH: 'fetch', GROUP_JOIN: 'join', CRASH: 'crash' },
    on: (name: string, listener: (event: unknown) => void) => listeners.set(name, listener),
    connect: async () => undefined,
    subscribe: async () => undefined,
    run: async (config: Awaited<typeof running.promise>) => running.resolve(config),
    disconnect: async () => {
      disconnects++;
    },
    running: running.promise,
    emit: (name: string, payload: unknown = {}) => listeners.get(name)?.({ payload }),
    disconnects: () => disconnects,
  };
}

function stubBatch(offsets: string[], heartbeat = async () => {}) {
  const resolved: string[] = [];
  const committed: unknown[] = [];
  const payload = {
    batch: {
      topic: 't',
      partition: 3,
      messages: offsets.map((offset) => ({ offset, key: null, value: null })),
    },
    heartbeat,
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
  } as unknown as EachBatchPayload;
  return { payload, resolved, committed };
}

const options = {
  groupId: 'g',
  topics: ['t'],
  chunkSizeMax: 2,
  partitionsInParallelMax: 1,
  sessionTimeoutMs: 60,
  rebalanceTimeoutMs: 600_000,
  stopTimeoutMs: 50,
};

/** A source whose first kafkajs consumer has joined. */
async function startSource(onChunk: (chunk: RecordChunk) => Promise<ChunkOutcome>, changed = {}) {
  const { kafka, built } = stubKafka();
  const source = createKafkajsSource({ kafka, logger: silentLogger }, { ...options, ...changed });
  source.start(onChunk);
  const consumer = built[0] as ReturnType<typeof stubConsumer>;
  const { eachBatch } = await consumer.running;
  consumer.emit('join');
  return { source, built, consumer, eachBatch };
}

const accept = async (chunk: RecordChunk): Promise<ChunkOutcome> => {
  await chunk.commitOffsets();
  return 'accepted';
};

describe('the kafkajs adapter', () => {
  it('cuts a batch into chunks and commits, for its own partition, what kafkajs says is next', async () => {
    const chunks: string[][] = [];
    const { source, eachBatch } = await startSource(async (chunk) => {
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
    await source.stop();
  });

  it('a batch during which the member re-joined is neither resolved nor committed nor continued', async () => {
    const outcomes: boolean[] = [];
    const { source, consumer, eachBatch } = await startSource(async (chunk) => {
      consumer.emit('join');
      outcomes.push(await chunk.commitOffsets());
      return 'accepted';
    });
    const { payload, resolved, committed } = stubBatch(['1', '2', '3']);
    await eachBatch(payload);
    expect(outcomes).toEqual([false]);
    expect([...resolved, ...committed]).toEqual([]);
    await source.stop();
  });

  it('an abandoned chunk is not resolved, and nothing behind it is begun', async () => {
    let chunks = 0;
    const { source, eachBatch } = await startSource(async () => {
      chunks++;
      return 'abandoned';
    });
    const { payload, resolved } = stubBatch(['1', '2', '3']);
    await eachBatch(payload);
    expect({ chunks, resolved }).toEqual({ chunks: 1, resolved: [] });
    await source.stop();
  });

  it('a heartbeat that fails ends the waiting, and kafkajs is given its own error', async () => {
    const rebalance = Object.assign(new Error('rebalancing'), { type: 'REBALANCE_IN_PROGRESS' });
    let beats = 0;
    const { source, eachBatch } = await startSource(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return 'abandoned';
    });
    const { payload, resolved } = stubBatch(['1'], async () => {
      if (++beats > 2) throw rebalance;
    });
    await expect(eachBatch(payload)).rejects.toBe(rebalance);
    expect(resolved).toEqual([]);
    await source.stop();
  });

  it('a consumer that crashes is closed and built anew; stop ends that', async () => {
    const { source, built, consumer } = await startSource(accept);
    expect(source.isHealthy()).toBe(true);
    consumer.emit('crash', { error: new Error('non-retriable') });
    await expect.poll(() => built.length, { timeout: 5_000 }).toBe(2);
    expect(source.isHealthy()).toBe(false);
    expect(consumer.disconnects()).toBe(1);
    built[1]?.emit('join');
    expect(source.isHealthy()).toBe(true);
    await source.stop();
    expect(built[1]?.disconnects()).toBe(1);
    expect(built).toHaveLength(2);
  });

  it('a consumer that falls silent is unhealthy, and built anew', async () => {
    const { source, built } = await startSource(accept, { rebalanceTimeoutMs: 60 });
    await expect.poll(() => source.isHealthy(), { timeout: 5_000 }).toBe(false);
    await expect.poll(() => built.length, { timeout: 5_000 }).toBe(2);
    await source.stop();
  });
});
