import { afterEach } from 'vitest';
import { type Consumer, type ConsumerOptions, createConsumer, type RunTransaction } from '../src/index.ts';
import { type MemorySource, memorySource } from '../src/testing/memory-source.ts';
import type { CountEvent, Tx } from './counting.ts';
import { decodeCount, recordingLogger, type TestDb, uniqueName } from './harness.ts';

export type MemoryConsumerOptions = Partial<ConsumerOptions<CountEvent, Tx>> & {
  source?: MemorySource;
  transaction?: RunTransaction<Tx>;
  deps?: object;
};

/** Starts consumers on a source that the test feeds, with short times, and stops them after each test. */
export function useMemoryConsumers(db: () => TestDb) {
  const running: Consumer[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((consumer) => consumer.stop()));
  });
  return async (options: MemoryConsumerOptions) => {
    const { source = memorySource({ groupId: uniqueName('group') }), transaction, deps, ...rest } = options;
    const consumerName = options.consumerName ?? uniqueName('consumer');
    const logger = recordingLogger();
    const consumer = createConsumer<CountEvent, Tx>(
      { source, transaction: transaction ?? db().transaction, logger, ...deps },
      {
        decode: decodeCount,
        pollIntervalMs: 50,
        acceptRetryBaseMs: 20,
        acceptRetryMaxMs: 100,
        ...rest,
        retry: { baseMs: 20, maxMs: 50, ...options.retry },
        consumerName,
      },
    );
    running.push(consumer);
    await consumer.start();
    return { consumer, source, logger, consumerName };
  };
}

/** A record as `decodeCount` reads it: count `name` up. */
export const counting = (id: string, name: string, key: string | null = name) => ({
  key,
  value: name,
  headers: { type: Buffer.from('count'), id: Buffer.from(id) },
});
