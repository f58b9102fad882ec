import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { handlerTests } from '../src/testing/handler-contract.ts';
import {
  crashPoints,
  deliverTwice,
  type HandlerUnderTest,
  handlerContract,
  memorySource,
} from '../src/testing.ts';
import {
  type CountEvent,
  countAll,
  countUp,
  decodeCount,
  type Tx,
  uniqueName,
  useDatabase,
} from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const db = useDatabase();
const start = useMemoryConsumers(db);

function underTest(
  handlers: Pick<HandlerUnderTest<CountEvent, Tx>['options'], 'handle' | 'handleBatch'>,
): HandlerUnderTest<CountEvent, Tx> {
  const name = uniqueName('contract');
  const ids = [`${name}-1`, `${name}-2`, `${name}-3`];
  return {
    transaction: db().transaction,
    options: { ...handlers, decode: decodeCount, acceptRetryBaseMs: 5 },
    records: ids.map((id) => counting(id, name)),
    effects: async () => (await db().pool.query('SELECT n FROM counters WHERE name = $1', [name])).rows,
    reset: async () => {
      await db().pool.query('DELETE FROM counters WHERE name = $1', [name]);
    },
    close: async () => undefined,
  };
}

handlerContract('a handler of one event', async () => underTest({ handle: countUp }));
handlerContract('a handler of batches', async () => underTest({ handleBatch: countAll }));

describe('the contract of handlers', () => {
  const failures = async (handler: HandlerUnderTest<CountEvent, Tx>) => {
    const failed: string[] = [];
    for (const [title, test] of Object.entries(handlerTests))
      await test(handler).catch(() => {
        failed.push(title);
      });
    return failed;
  };

  it('finds out a handler that writes outside its transaction', async () => {
    const outside = async (_: Tx, event: CountEvent) => db().transaction((tx) => countUp(tx, event));
    expect(await failures(underTest({ handle: outside }))).toEqual([
      'a rollback leaves nothing behind',
      'its process dies at consumer.accept.before-commit, and another one gets the records',
    ]);
  });

  it('finds out a handler whose effects depend on how its events are cut into chunks', async () => {
    const oncePerChunk = async (tx: Tx, [event]: CountEvent[]) =>
      countAll(tx, event === undefined ? [] : [event]);
    expect(await failures(underTest({ handleBatch: oncePerChunk }))).toEqual([
      'delivered one by one, and in chunks of two',
    ]);
  });

  it('refuses a handler that fails, or that has no effect', async () => {
    const fails = () => {
      throw new Error('no');
    };
    // What leaves nothing behind passes that one test.
    const titles = Object.keys(handlerTests).filter((title) => !title.includes('rollback'));
    expect(await failures(underTest({ handle: fails }))).toEqual(titles);
    expect(await failures(underTest({ handle: () => undefined }))).toEqual(titles);
  });
});

it('deliverTwice delivers the same records at the same places: they are handled once', async () => {
  const source = memorySource();
  const { consumer, consumerName } = await start({ handle: countUp, source });
  const name = uniqueName('twice');
  expect(await deliverTwice(source, [counting(`${name}-1`, name), counting(`${name}-2`, name)])).toEqual([
    'accepted',
  ]);
  expect(await db().counted(name)).toBe(2);
  expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 2 });
  expect(await db().inboxRows(consumerName)).toMatchObject([{ offset: '0' }, { offset: '1' }]);
});

it('crashPoints names every place at which the consumer calls crashPoint', () => {
  const src = new URL('../src/', import.meta.url);
  const texts = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(new URL(file, src), 'utf8'));
  const called = texts.flatMap((text) =>
    [...text.matchAll(/crashPoint\('([^']+)'\)/g)].map(([, point]) => point),
  );
  expect([...new Set(called)].toSorted()).toEqual(crashPoints.toSorted());
});
