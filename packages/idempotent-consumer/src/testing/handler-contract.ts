import { isDeepStrictEqual } from 'node:util';
import { type Consumer, createConsumer } from '../consumer.ts';
import type { ConsumerOptions } from '../options.ts';
import type { ConsumerTransaction, RunTransaction } from '../transaction.ts';
import { type CrashPoint, crashPoints } from './crash-points.ts';
import { deliverTwice } from './deliver-twice.ts';
import { type MemoryRecord, memorySource } from './memory-source.ts';

/** Only the contract needs it. */
const vitest = await import('vitest').catch((error: Error) => error);

/** A handler, and a real database in which the tables of this package and those of the handler are. */
export interface HandlerUnderTest<E, Tx extends ConsumerTransaction> {
  readonly transaction: RunTransaction<Tx>;
  /** As for `createConsumer`: `decode`, `handle` or `handleBatch`, and what else they need. */
  readonly options: Omit<ConsumerOptions<E, Tx>, 'consumerName'>;
  /** At least two, of one topic and partition, none twice; the handler succeeds for each of them. */
  readonly records: readonly MemoryRecord[];
  /**
   * What the handler has done, to be compared: rows of its tables in a fixed order, events in its outbox, without
   * ids and times that are drawn anew at each run.
   */
  effects(): Promise<unknown>;
  /** Undoes the effects, so that the next test begins anew. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The test suite that every handler passes: however its events are delivered, and wherever its process dies, its
 * effects are those of each event handled once. Call it in a test file; it needs vitest.
 * @throws Error when vitest is not installed
 */
export function handlerContract<E, Tx extends ConsumerTransaction>(
  name: string,
  open: () => Promise<HandlerUnderTest<E, Tx>>,
): void {
  if (vitest instanceof Error) throw vitest;
  const { afterAll, beforeAll, describe, it } = vitest;
  describe(`${name} has each effect once`, () => {
    let handler: HandlerUnderTest<E, Tx>;
    beforeAll(async () => {
      handler = await open();
    });
    afterAll(() => handler?.close());
    for (const [title, test] of Object.entries(handlerTests)) it(title, () => test(handler));
  });
}

// biome-ignore lint/suspicious/noExplicitAny: whatever its events and transactions are
type AnyHandler = HandlerUnderTest<any, any>;

const chunksOf = (records: readonly MemoryRecord[], size: number): MemoryRecord[][] =>
  Array.from({ length: Math.ceil(records.length / size) }, (_, i) => records.slice(i * size, (i + 1) * size));

/** Titles, and tests that throw. */
export const handlerTests: Readonly<Record<string, (handler: AnyHandler) => Promise<void>>> = {
  'delivered twice': async (handler) => {
    const expected = await effectsOfOnce(handler);
    await expectEffects(handler, expected, async ({ start }) => {
      const { source } = await start();
      await deliverTwice(source, handler.records);
      const other = await start();
      await other.source.deliver(handler.records);
    });
  },
  'delivered one by one, and in chunks of two': async (handler) => {
    const expected = await effectsOfOnce(handler);
    for (const size of [1, 2])
      await expectEffects(handler, expected, async ({ start }) => {
        const { source } = await start();
        for (const chunk of chunksOf(handler.records, size)) await source.deliver(chunk);
      });
  },
  'a rollback leaves nothing behind': async (handler) => {
    await handler.reset();
    const nothing = await handler.effects();
    await expectEffects(handler, nothing, async ({ start }) => {
      const { source } = await start('consumer.accept.before-commit');
      await source.deliver(handler.records);
    });
  },
  ...Object.fromEntries(
    crashPoints
      .filter((point) => !point.startsWith('consumer.retry.'))
      .map((point) => [
        `its process dies at ${point}, and another one gets the records`,
        (handler: AnyHandler) => survives(handler, point),
      ]),
  ),
};

async function survives(handler: AnyHandler, point: CrashPoint): Promise<void> {
  const expected = await effectsOfOnce(handler);
  await expectEffects(handler, expected, async ({ start }) => {
    const first = await start(point);
    await first.source.deliver(handler.records);
    const { source } = await start();
    await source.deliver(handler.records);
  });
}

interface Bench {
  /** Another member of one consumer; with a crash point it passes that one no further. */
  start(point?: CrashPoint): Promise<{ source: ReturnType<typeof memorySource> }>;
}

async function effectsOfOnce(handler: AnyHandler): Promise<unknown> {
  await handler.reset();
  await work(handler, async ({ start }) => {
    const { source } = await start();
    await source.deliver(handler.records);
  });
  const effects = await handler.effects();
  await handler.reset();
  if (isDeepStrictEqual(effects, await handler.effects()))
    throw new Error('the records have no effect that `effects` sees, or `reset` does not undo it');
  return effects;
}

async function expectEffects(
  handler: AnyHandler,
  expected: unknown,
  act: (bench: Bench) => Promise<void>,
): Promise<void> {
  await handler.reset();
  await work(handler, act);
  const effects = await handler.effects();
  if (isDeepStrictEqual(effects, expected)) return;
  throw new Error(`expected the effects ${JSON.stringify(expected)}, found ${JSON.stringify(effects)}`);
}

async function work(handler: AnyHandler, act: (bench: Bench) => Promise<void>): Promise<void> {
  const consumerName = `handler-contract-${crypto.randomUUID()}`;
  const members: Consumer[] = [];
  try {
    await act({
      async start(point) {
        const source = memorySource({ groupId: consumerName });
        // What was begun before stays as it is, for good: the rest of the process goes on, this member does not.
        const dead = () => {
          source.revoke();
          throw new Error(`died at ${point}`);
        };
        const consumer = createConsumer(
          { source, transaction: handler.transaction, crashPoint: (at) => at === point && dead() },
          { ...handler.options, consumerName },
        );
        members.push(consumer);
        await consumer.start();
        return {
          source: point === undefined ? source : { ...source, deliver: (all) => mayDie(source.deliver(all)) },
        };
      },
    });
    for (const member of members) {
      const { scheduled, deadLetters } = member.counts();
      if (scheduled + deadLetters > 0) throw new Error('the handler has failed for one of the records');
    }
  } finally {
    await Promise.all(members.map((member) => member.stop()));
  }
}

const mayDie = <T>(delivered: Promise<readonly T[]>): Promise<readonly T[]> => delivered.catch(() => []);
