import { describe, expect, it } from 'vitest';
import type { BatchContext, EventContext } from '../src/index.ts';
import { countEventUp, countUpIn, flavourNames, query, useFlavours } from './flavours.ts';
import { type CountEvent, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const db = useDatabase();
const flavour = useFlavours(db);
const start = useMemoryConsumers(db);

describe.each(flavourNames)('with %s', (flavourName) => {
  it('new events are handled, duplicates and redeliveries are not, invalid records are dead letters', async () => {
    const name = uniqueName('slice');
    const { transaction } = flavour(flavourName);
    const { source, consumer, consumerName } = await start({ handle: countEventUp, transaction });
    const records = [counting(`${name}-1`, name), counting(`${name}-1`, name), counting(`${name}-2`, name)];
    await source.deliver([...records, { value: 'no headers' }]);
    await source.deliver(records);
    expect(await db().counted(name)).toBe(2);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 4, deadLetters: 1 });
    expect(await db().deadLetters(consumerName)).toMatchObject([{ reason: 'header type is missing' }]);
  });

  it('an event that fails waits with its key, is tried again, and its neighbours do not notice', async () => {
    const name = uniqueName('failing');
    let isBroken = true;
    const handle = async (tx: Tx, event: CountEvent) => {
      await countEventUp(tx, event);
      if (event.name === name && isBroken) throw new Error('not yet');
    };
    const { transaction } = flavour(flavourName);
    const { source } = await start({ handle, transaction, retry: { attemptsMax: 1_000 } });
    await source.deliver([
      counting(`${name}-1`, name),
      counting(`${name}-2`, `${name}-other`),
      counting(`${name}-3`, name),
    ]);
    expect(await db().counted(`${name}-other`)).toBe(1);
    expect(await db().counted(name)).toBe(0);
    isBroken = false;
    await expect.poll(() => db().counted(name), soon).toBe(2);
  });

  it('a constraint that speaks at COMMIT fails its own event only', async () => {
    const name = uniqueName('deferred');
    const handle = async (tx: Tx, event: CountEvent) => {
      await countEventUp(tx, event);
      if (event.id === `${name}-1`) await query(tx, 'INSERT INTO children VALUES ($1)', ['no parent']);
    };
    const { transaction } = flavour(flavourName);
    const { source, consumerName } = await start({ handle, transaction, retry: { attemptsMax: 1 } });
    await source.deliver([0, 1, 2].map((n) => counting(`${name}-${n}`, `${name}-${n}`)));
    expect(await Promise.all([0, 1, 2].map((n) => db().counted(`${name}-${n}`)))).toEqual([1, 0, 1]);
    expect(await db().deadLetters(consumerName)).toMatchObject([
      { event_id: `${name}-1`, reason: expect.stringContaining('23503') },
    ]);
  });

  it('a lost connection is waited out, and nothing is done twice', async () => {
    const name = uniqueName('lost');
    let isFirst = true;
    const handle = async (tx: Tx, event: CountEvent) => {
      await countEventUp(tx, event);
      const [row] = await query(tx, 'SELECT pg_backend_pid() AS pid');
      if (isFirst) await db().pool.query('SELECT pg_terminate_backend($1)', [row?.pid]);
      isFirst = false;
    };
    const { transaction } = flavour(flavourName);
    const { source, consumer } = await start({ handle, transaction });
    await source.deliver([counting(`${name}-1`, name), counting(`${name}-2`, name)]);
    expect(await db().counted(name)).toBe(2);
    expect(consumer.counts()).toMatchObject({ handled: 2, scheduled: 0, retries: 1 });
  });

  it('afterCommit calls once, after the commit, and never after a rollback', async () => {
    const name = uniqueName('after');
    const { transaction } = flavour(flavourName);
    const calls: string[] = [];
    const handle = async (tx: Tx, event: CountEvent, { afterCommit, attempt }: EventContext) => {
      await countEventUp(tx, event);
      afterCommit(async () => {
        // What it sees over another connection is committed.
        calls.push(`${event.id}@${attempt}:${await db().counted(event.name)}`);
      });
      if (event.id === `${name}-1` && attempt < 3) throw new Error('not yet');
      if (event.id === `${name}-3` && attempt === 1)
        await query(tx, 'INSERT INTO children VALUES ($1)', ['no parent']);
    };
    const { source } = await start({ handle, transaction, retry: { attemptsMax: 5 } });
    await source.deliver([0, 1, 2, 3].map((n) => counting(`${name}-${n}`, `${name}-${n}`)));
    await expect.poll(() => calls.length, soon).toBe(4);
    expect(calls.toSorted()).toEqual([`${name}-0@1:1`, `${name}-1@3:1`, `${name}-2@1:1`, `${name}-3@2:1`]);
  });

  it('what a callback of afterCommit throws is logged, and the others are called', async () => {
    const name = uniqueName('throws');
    const { transaction } = flavour(flavourName);
    const called: string[] = [];
    const handle = (_: Tx, event: CountEvent, { afterCommit }: EventContext) => {
      afterCommit(() => {
        if (event.id === `${name}-1`) throw new Error('nobody listens');
        called.push(event.id);
      });
    };
    const { source, logger } = await start({ handle, transaction });
    expect(await source.deliver([1, 2].map((n) => counting(`${name}-${n}`, name)))).toEqual(['accepted']);
    expect(called).toEqual([`${name}-2`]);
    expect(logger.entries).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'a callback of afterCommit failed' }),
    );
  });

  it('a handler is told its record, ids, attempt and signal', async () => {
    const name = uniqueName('context');
    const { transaction } = flavour(flavourName);
    const told: EventContext[] = [];
    const handle = (_: Tx, __: CountEvent, context: EventContext) => {
      told.push(context);
      if (context.attempt === 1) throw new Error('once more');
    };
    const { source, consumerName } = await start({ handle, transaction });
    await source.deliver([{ ...counting(`${name}-1`, name), offset: '41' }]);
    await expect.poll(() => told.at(-1)?.attempt, soon).toBe(2);
    const expected = {
      consumerName,
      eventId: `${name}-1`,
      record: {
        topic: 'memory',
        partition: 0,
        offset: '41',
        key: Buffer.from(name),
        value: Buffer.from(name),
      },
    };
    expect(told[0]).toMatchObject({ ...expected, attempt: 1 });
    // From its row the record is the same, byte for byte.
    expect(told.at(-1)).toMatchObject({ ...expected, attempt: 2 });
    expect(told.at(-1)?.record.headers.id).toEqual(Buffer.from(`${name}-1`));
    expect(told.every(({ signal }) => signal instanceof AbortSignal && !signal.aborted)).toBe(true);
  });

  it('a batch handler is given all new events of a chunk at once, with their records and ids, for set-based SQL', async () => {
    const name = uniqueName('batch');
    const { transaction } = flavour(flavourName);
    const batches: (BatchContext & { events: CountEvent[] })[] = [];
    const handleBatch = async (tx: Tx, events: CountEvent[], context: BatchContext) => {
      batches.push({ ...context, events });
      await query(
        tx,
        `INSERT INTO counters SELECT name, count(*) FROM unnest($1::text[]) AS e (name) GROUP BY name
         ON CONFLICT (name) DO UPDATE SET n = counters.n + excluded.n`,
        [events.map((event) => event.name)],
      );
    };
    const { source } = await start({ handleBatch, transaction });
    const records = [0, 1, 2, 3].map((n) => counting(`${name}-${n}`, `${name}-${n % 2}`));
    await source.deliver(records.slice(0, 2));
    await source.deliver(records);
    expect(batches.map(({ eventIds }) => eventIds)).toEqual([
      [`${name}-0`, `${name}-1`],
      [`${name}-2`, `${name}-3`],
    ]);
    for (const { records: given, events, eventIds, attempt } of batches) {
      expect(given.map(({ headers }) => String(headers.id))).toEqual(eventIds);
      expect(events.map(({ id }) => id)).toEqual(eventIds);
      expect(attempt).toBe(1);
    }
    expect(await Promise.all([0, 1].map((n) => db().counted(`${name}-${n}`)))).toEqual([2, 2]);
  });

  it.each([
    { count: 3, bad: [1], sizes: [3, 2, 1, 2, 1, 1] },
    { count: 16, bad: [5], sizes: [16, 8, 4, 8, 4, 2, 1, 2, 1, 1, 2, 4, 3] },
    { count: 4, bad: [0, 1, 2, 3], sizes: [4, 2, 1, 1, 1, 1] },
  ])(
    'of $count events of a batch $bad fail: they are found in ever smaller groups, and only they are stored',
    async ({ count, bad, sizes: expected }) => {
      const name = uniqueName('badbatch');
      const all = Array.from({ length: count }, (_, n) => n);
      const ids = (of: readonly number[]) => of.map((n) => `${name}-${n}`);
      const { transaction } = flavour(flavourName);
      const sizes: number[] = [];
      const handleBatch = async (tx: Tx, events: CountEvent[]) => {
        sizes.push(events.length);
        for (const event of events) await countUpIn(tx, event.name);
        if (events.some(({ id }) => ids(bad).includes(id))) throw new Error('bad');
      };
      const { source, consumerName } = await start({ handleBatch, transaction, retry: { attemptsMax: 1 } });
      await source.deliver(ids(all).map((id) => counting(id, id)));
      expect(sizes).toEqual(expected);
      const effects = await Promise.all(ids(all).map((id) => db().counted(id)));
      expect(effects).toEqual(all.map((n) => (bad.includes(n) ? 0 : 1)));
      const dead = (await db().deadLetters(consumerName)).map(({ event_id }) => event_id);
      expect(dead.toSorted()).toEqual(ids(bad).toSorted());
    },
  );
});
