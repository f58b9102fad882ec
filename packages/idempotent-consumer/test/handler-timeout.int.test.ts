import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Consumer, HandlerContext, RunTransaction } from '../src/index.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import {
  activityOf,
  countEventUp,
  countUpIn,
  type Flavour,
  type FlavourName,
  flavourNames,
  query,
  useFlavours,
} from './flavours.ts';
import { type CountEvent, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const db = useDatabase();
const flavour = useFlavours(db);
const start = useMemoryConsumers(db);
const never = { baseMs: 3_600_000, maxMs: 3_600_000 };

/** Ways in which a handler does not come back; each ends when the signal is given, or its statement fails. */
const hangs = {
  'on pg_sleep': async (tx: Tx) => void (await query(tx, 'SELECT pg_sleep(60)')),
  'on a lock': async (tx: Tx) => void (await query(tx, 'SELECT pg_advisory_xact_lock(42)')),
  'on a promise that resolves late': (_: Tx, late: Promise<void>) => late,
  'in a transaction that has failed': async (tx: Tx, late: Promise<void>) => {
    await query(tx, 'SELECT 1 / 0').catch(() => undefined);
    await late;
  },
  'on one write after the other': async (tx: Tx, late: Promise<void>, name: string) => {
    let isLate = false;
    void late.then(() => {
      isLate = true;
    });
    while (!isLate) await countUpIn(tx, `${name}-late`).catch(() => sleep(5));
  },
};

/** Every connection is back, outside a transaction, or gone. */
async function expectPoolClean(
  { applicationName, pool, transaction }: Flavour,
  consumer: Consumer,
): Promise<void> {
  await consumer.stop();
  await expect
    .poll(async () => new Set(await activityOf(db(), applicationName)), soon)
    .toEqual(new Set(['idle']));
  const { signal } = new AbortController();
  const xids = await Promise.all(
    Array.from({ length: 8 }, () =>
      transaction((tx) => query(tx, 'SELECT pg_current_xact_id_if_assigned()::text AS xid'), { signal }),
    ),
  );
  expect(xids.flat()).toEqual(Array.from({ length: 8 }, () => ({ xid: null })));
  expect(pool.totalCount).toBe(pool.idleCount);
}

async function withLockHeld<T>(work: () => Promise<T>): Promise<T> {
  const other = await db().pool.connect();
  await other.query('SELECT pg_advisory_lock(42)');
  try {
    return await work();
  } finally {
    await other.query('SELECT pg_advisory_unlock(42)');
    other.release();
  }
}

describe('handleTimeoutMs', () => {
  const cases = flavourNames.flatMap((name) => Object.keys(hangs).map((how) => [name, how] as const));

  it.each(cases)(
    'with %s a handler that hangs %s spends an attempt of its event only, and writes nothing late',
    async (flavourName, how) => {
      const name = uniqueName('hang');
      const used = flavour(flavourName);
      let comeBack = () => {};
      const late = new Promise<void>((resolve) => {
        comeBack = resolve;
      });
      const lateWrites: Promise<string>[] = [];
      const handle = async (tx: Tx, event: CountEvent) => {
        await countEventUp(tx, event);
        if (event.id !== `${name}-1`) return;
        const writeLate = () =>
          countUpIn(tx, `${name}-late`).then(
            () => 'written',
            () => 'refused',
          );
        await hangs[how as keyof typeof hangs](tx, late, name).catch(() => undefined);
        lateWrites.push(writeLate());
        await lateWrites.at(-1);
        lateWrites.push(writeLate());
      };
      const { source, consumerName, consumer } = await start({
        handle,
        handleTimeoutMs: 300,
        retry: never,
        transaction: used.transaction,
      });
      const records = [0, 1, 2].map((i) => counting(`${name}-${i}`, `${name}-${i}`));
      await withLockHeld(async () => {
        expect(await source.deliver(records)).toEqual(['accepted']);
      });
      expect(source.committed()).toBe('3');
      expect(await Promise.all([0, 1, 2].map((i) => db().counted(`${name}-${i}`)))).toEqual([1, 0, 1]);
      expect(await db().scheduled(consumerName)).toMatchObject([
        {
          event_id: `${name}-1`,
          state: 'DUE',
          attempts: 1,
          reason: expect.stringContaining('CONSUMER_HANDLER_TIMEOUT'),
        },
      ]);
      expect(consumer.counts()).toMatchObject({ handled: 2, scheduled: 1, deadLetters: 0 });
      expect(consumer.isHealthy()).toBe(true);
      comeBack();
      await expect.poll(() => lateWrites.length, soon).toBeGreaterThanOrEqual(4);
      expect(new Set(await Promise.all(lateWrites))).toEqual(new Set(['refused']));
      await expectPoolClean(used, consumer);
      expect(await db().counted(`${name}-late`)).toBe(0);
    },
  );

  it.each(flavourNames)(
    'with %s and a pool without a free connection a hanging handler is ended all the same',
    async (flavourName) => {
      for (const how of ['on pg_sleep', 'on a promise that resolves late'] as const) {
        const name = uniqueName('exhausted');
        const { transaction } = flavour(flavourName, 1);
        const handle = async (tx: Tx, event: CountEvent) => {
          if (event.id === `${name}-1`) await hangs[how](tx, new Promise(() => undefined));
          await countEventUp(tx, event);
        };
        const { source, consumerName } = await start({
          handle,
          handleTimeoutMs: 300,
          retry: never,
          transaction,
        });
        await source.deliver([counting(`${name}-1`, `${name}-1`), counting(`${name}-2`, `${name}-2`)]);
        expect(await db().counted(`${name}-2`)).toBe(1);
        expect(await db().scheduled(consumerName)).toMatchObject([{ event_id: `${name}-1`, attempts: 1 }]);
      }
    },
  );

  it('the other partitions go on while a handler hangs', async () => {
    const name = uniqueName('others');
    const handle = async (tx: Tx, event: CountEvent) => {
      await countEventUp(tx, event);
      if (event.id === `${name}-hangs`) await new Promise(() => undefined);
    };
    const { source } = await start({
      handle,
      handleTimeoutMs: 3_000,
      retry: never,
      partitionsInParallelMax: 2,
    });
    let isDone = false;
    const hanging = source.deliver([counting(`${name}-hangs`, `${name}-hangs`)]).then(() => {
      isDone = true;
    });
    for (let i = 0; i < 5; i++)
      await source.deliver([{ ...counting(`${name}-${i}`, name), partition: 1 + i }]);
    expect(isDone).toBe(false);
    expect(await db().counted(name)).toBe(5);
    await hanging;
    expect(source.committed()).toBe('1');
  });

  it.each(flavourNames)(
    'with %s a stored event whose handler hangs spends its attempts and becomes a dead letter',
    async (flavourName) => {
      const name = uniqueName('stored');
      const used = flavour(flavourName);
      const handle = async (tx: Tx, event: CountEvent) => {
        await countEventUp(tx, event);
        if (event.id === `${name}-1`) await query(tx, 'SELECT pg_sleep(60)');
      };
      const { source, consumerName, consumer } = await start({
        handle,
        handleTimeoutMs: 200,
        retry: { attemptsMax: 3 },
        transaction: used.transaction,
      });
      await source.deliver([counting(`${name}-1`, `${name}-1`)]);
      await expect
        .poll(() => db().deadLetters(consumerName), soon)
        .toMatchObject([
          { event_id: `${name}-1`, attempts: 3, reason: expect.stringContaining('CONSUMER_HANDLER_TIMEOUT') },
        ]);
      expect(await db().counted(`${name}-1`)).toBe(0);
      await expectPoolClean(used, consumer);
    },
  );

  it('context.signal is aborted, so that a handler may give up waiting by itself', async () => {
    const name = uniqueName('signal');
    const reasons: unknown[] = [];
    const handle = async (_: Tx, __: CountEvent, { signal }: HandlerContext) => {
      await sleep(60_000, undefined, { signal }).catch(() => reasons.push(signal.reason));
    };
    const { source } = await start({ handle, handleTimeoutMs: 100, retry: never });
    await source.deliver([counting(name, name)]);
    expect(reasons).toMatchObject([{ code: 'CONSUMER_HANDLER_TIMEOUT' }]);
  });
});

describe('a transaction that ends otherwise than it should', () => {
  const endings = async (flavourName: FlavourName, misdeed: (tx: Tx) => Promise<unknown>) => {
    const name = uniqueName('misdeed');
    const { transaction } = flavour(flavourName);
    const handle = async (tx: Tx, event: CountEvent) => {
      await countEventUp(tx, event);
      if (event.id === `${name}-1`) await misdeed(tx);
    };
    const given = { handle, transaction, retry: { ...never, attemptsMax: 3 } };
    const member = await start(given);
    const records = [0, 1, 2].map((i) => counting(`${name}-${i}`, `${name}-${i}`));
    const counted = () => Promise.all([0, 1, 2].map((i) => db().counted(`${name}-${i}`)));
    return { ...member, records, counted, name, given };
  };

  it.each(flavourNames)(
    'with %s a handler that swallows a failed statement has failed',
    async (flavourName) => {
      const { source, consumerName, records, counted } = await endings(flavourName, (tx) =>
        query(tx, 'SELECT 1 / 0').catch(() => undefined),
      );
      await source.deliver(records);
      expect(await counted()).toEqual([1, 0, 1]);
      expect(await db().scheduled(consumerName)).toMatchObject([
        { attempts: 1, reason: expect.stringContaining('25P02') },
      ]);
    },
  );

  it.each(flavourNames.flatMap((name) => ['COMMIT', 'ROLLBACK'].map((end) => [name, end] as const)))(
    'with %s a handler that does a %s stops the consumer: the events of its chunk are dead letters, nothing is lost or done twice',
    async (flavourName, end) => {
      const { source, consumerName, consumer, records, counted, given, logger } = await endings(
        flavourName,
        (tx) => query(tx, end),
      );
      const delivered = source.deliver(records);
      await expect.poll(() => consumer.isHealthy(), soon).toBe(false);
      await consumer.stop();
      expect(await delivered).toEqual(['abandoned']);
      const stored = await db().scheduled(consumerName);
      expect(stored).toMatchObject([{ state: 'DEAD' }, { state: 'DEAD' }, { state: 'DEAD' }]);
      expect(await db().deadLetters(consumerName)).toHaveLength(3);
      expect(logger.entries).toContainEqual(
        expect.objectContaining({ message: 'consumer stands still until it is started anew' }),
      );
      const again = memorySource();
      await start({ ...given, consumerName, source: again });
      expect(await again.deliver(records)).toEqual(['accepted']);
      expect(await counted()).toEqual(end === 'COMMIT' ? [1, 1, 1] : [0, 0, 1]);
    },
  );

  it.each(flavourNames)(
    'with %s a stored event whose handler commits is a dead letter at once',
    async (flavourName) => {
      const name = uniqueName('commits');
      let tries = 0;
      const handle = async (tx: Tx) => {
        if (++tries === 1) throw new Error('stored first');
        await countUpIn(tx, name);
        await query(tx, 'COMMIT');
      };
      const { source, consumerName } = await start({ handle, transaction: flavour(flavourName).transaction });
      await source.deliver([counting(name, name)]);
      await expect
        .poll(() => db().deadLetters(consumerName), soon)
        .toMatchObject([{ reason: expect.stringContaining('EndedItsTransaction') }]);
      expect(await db().counted(name)).toBe(1);
    },
  );

  it('a transaction function that wraps errors changes nothing', async () => {
    const name = uniqueName('wraps');
    const transaction: RunTransaction<Tx> = (work) =>
      db()
        .transaction(work)
        .catch((cause) => {
          throw new Error('the transaction failed', { cause });
        });
    const handle = async (tx: Tx, event: CountEvent) => {
      await countEventUp(tx, event);
      if (event.id === `${name}-1`) throw new Error('no');
    };
    const { source, consumerName } = await start({ handle, transaction, retry: { attemptsMax: 2 } });
    await source.deliver([counting(`${name}-1`, `${name}-1`), counting(`${name}-2`, `${name}-2`)]);
    expect(await db().counted(`${name}-2`)).toBe(1);
    await expect
      .poll(() => db().deadLetters(consumerName), soon)
      .toMatchObject([{ reason: 'Error: no', attempts: 2 }]);
  });
});

describe('health goes by progress', () => {
  it('a chunk that stands is unhealthy after stalledAfterMs, though the source is well, and healthy again when it ends', async () => {
    const name = uniqueName('stands');
    const handle = () => new Promise<void>(() => undefined);
    const { source, consumer } = await start({
      handle,
      handleTimeoutMs: 3_000,
      stalledAfterMs: 300,
      retry: never,
    });
    const delivered = source.deliver([counting(name, name)]);
    expect(consumer.isHealthy()).toBe(true);
    await expect.poll(() => consumer.isHealthy(), soon).toBe(false);
    expect(source.isHealthy()).toBe(true);
    await delivered;
    expect(consumer.isHealthy()).toBe(true);
  });

  it('a chunk that gets on event by event stays healthy, however long it takes', async () => {
    const name = uniqueName('slow');
    // Together they take too long; alone each is quick enough.
    const handle = async (tx: Tx, event: CountEvent) => {
      await sleep(250);
      await countEventUp(tx, event);
    };
    const { source, consumer } = await start({ handle, handleTimeoutMs: 700, stalledAfterMs: 1_500 });
    const seen: boolean[] = [];
    const watch = setInterval(() => seen.push(consumer.isHealthy()), 50);
    await source.deliver(Array.from({ length: 8 }, (_, i) => counting(`${name}-${i}`, name)));
    clearInterval(watch);
    expect(await db().counted(name)).toBe(8);
    expect(seen.length).toBeGreaterThan(20);
    expect(new Set(seen)).toEqual(new Set([true]));
  });
});
