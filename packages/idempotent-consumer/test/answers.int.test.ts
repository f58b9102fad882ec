import { afterEach, describe, expect, it } from 'vitest';
import {
  addDeadLetter,
  ConsumerError,
  type ConsumerTransaction,
  insertProcessed,
  pauseConsumer,
  pgTransaction,
  processOnce,
  type RunTransaction,
  readControl,
  resumeConsumer,
} from '../src/index.ts';
import { countUp, soon, uniqueName, useDatabase } from './harness.ts';
import {
  everyType,
  everyTypeButText,
  lookalikes,
  openHostile,
  plugins,
  rowChanges,
  stringChanges,
  typesWith,
  wrapped,
} from './hostile-answers.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

/** Changes that leave some answers, or all, as they were. */
const harmless = ['null for an empty text', 'another id', 'parsed JSON'].map(
  (change) => `strings as ${change}`,
);

const untimed = { signal: new AbortController().signal };

describe('answers that something between PostgreSQL and the consumer changes', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);
  const opened: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()));
  });
  const open = (options: Parameters<typeof openHostile>[1]) => {
    const hostile = openHostile(db().url, options);
    opened.unshift(hostile);
    return hostile;
  };

  const letterOf = (consumerName: string) => ({
    eventId: 'e',
    consumerName,
    topic: 't',
    partition: 0,
    offset: '7',
    key: null,
    value: Buffer.from('v'),
    headers: {},
    payload: null,
    reason: 'no',
    attempts: 1,
  });

  /** Everything that reads: it works, or it throws before anything is committed. */
  const calls: Readonly<Record<string, (tx: ConsumerTransaction, consumerName: string) => Promise<unknown>>> =
    {
      processOnce: (tx, consumerName) =>
        processOnce(tx, { consumerName, eventId: 'TWIN' }, async () => 'handled'),
      insertProcessed: (tx, consumerName) => insertProcessed(tx, consumerName, ['new', ...lookalikes]),
      addDeadLetter: async (tx, consumerName) => (await addDeadLetter(tx, letterOf(consumerName))).isNew,
      pause: async (tx, consumerName) => {
        await pauseConsumer(tx, consumerName, { actor: 'a', reason: 'r' });
        return (await readControl(tx, consumerName)).paused;
      },
      resume: async (tx, consumerName) => {
        await resumeConsumer(tx, consumerName, { actor: 'a', reason: 'r' });
        return (await readControl(tx, consumerName)).paused;
      },
    };
  const answers: Readonly<Record<string, unknown>> = {
    processOnce: { outcome: 'processed', result: 'handled' },
    insertProcessed: ['new', 'TWIN'],
    addDeadLetter: true,
    pause: true,
    resume: false,
  };

  /** One of the look-alikes is known already: who takes one for the other loses the new one. */
  async function prepare(): Promise<string> {
    const consumerName = uniqueName('hostile');
    await db().transaction((tx) => insertProcessed(tx, consumerName, ['twin']));
    return consumerName;
  }

  async function stored(consumerName: string): Promise<unknown[]> {
    const tables = ['processed_events', 'dead_letter_events', 'scheduled_events', 'consumer_control'];
    const counts = tables.map(async (table) => {
      const { rows } = await db().pool.query(`SELECT count(*)::int AS n FROM ${table} WHERE worker_id = $1`, [
        consumerName,
      ]);
      return rows[0].n;
    });
    return Promise.all(counts);
  }

  async function worksOrRefuses(transaction: RunTransaction<never>): Promise<string[]> {
    const refused: string[] = [];
    for (const [name, call] of Object.entries(calls)) {
      const consumerName = await prepare();
      const before = await stored(consumerName);
      const answer = await transaction((tx) => call(tx, consumerName), untimed).catch(
        (error: unknown) => error,
      );
      if (!(answer instanceof Error)) {
        expect(answer, name).toEqual(answers[name]);
        continue;
      }
      expect(answer, name).toBeInstanceOf(ConsumerError);
      expect(answer, name).toMatchObject({ code: 'CONSUMER_ANSWER_UNEXPECTED' });
      expect(await stored(consumerName), name).toEqual(before);
      refused.push(name);
    }
    return refused;
  }

  it.each(Object.keys(plugins))('works with a plugin of the caller: %s', async (name) => {
    const { transaction } = open({ plugin: plugins[name]?.() as never });
    expect(await worksOrRefuses(transaction as RunTransaction<never>)).toEqual([]);
  });

  it.each(Object.keys(rowChanges))('works or refuses where no plugin can be got past: %s', async (name) => {
    const { transaction } = open({ plugin: plugins[name]?.() as never });
    const refused = await worksOrRefuses(wrapped(transaction) as RunTransaction<never>);
    if (!harmless.includes(name)) expect(refused).toEqual(Object.keys(calls));
  });

  it.each(Object.keys(stringChanges))(
    'works whatever parsers there are for every type but text: %s',
    async (name) => {
      const { pool, transaction } = open({
        types: typesWith(stringChanges[name] as never, everyTypeButText),
      });
      expect(await worksOrRefuses(transaction as RunTransaction<never>)).toEqual([]);
      expect(await worksOrRefuses(pgTransaction(pool) as RunTransaction<never>)).toEqual([]);
    },
  );

  it.each(Object.keys(stringChanges))(
    'works or refuses whatever parsers there are for every type: %s',
    async (name) => {
      const { pool, transaction } = open({ types: typesWith(stringChanges[name] as never, everyType) });
      const refused = await worksOrRefuses(transaction as RunTransaction<never>);
      expect(await worksOrRefuses(pgTransaction(pool) as RunTransaction<never>)).toEqual(refused);
      if (!harmless.includes(`strings as ${name}`)) expect(refused).toEqual(Object.keys(calls));
    },
  );

  it.each(Object.keys(plugins))(
    'a consumer and its retries work with a plugin of the caller: %s',
    async (plugin) => {
      const name = uniqueName('plugged');
      const { transaction } = open({ plugin: plugins[plugin]?.() as never });
      const { source, consumer, consumerName } = await start({
        transaction,
        handle: async (tx, event, { attempt }) => {
          if (event.id === `${name}-bad` && attempt < 3) throw new Error('not yet');
          await countUp(tx, event);
        },
        retry: { attemptsMax: 10 },
      });
      const records = [
        counting(`${name}-ok`, name),
        counting(`${name}-bad`, name),
        counting(`${name}-behind`, name),
        { value: 'poison', headers: {} },
      ];
      expect(await source.deliver(records)).toEqual(['accepted']);
      await expect.poll(() => db().counted(name), soon).toBe(3);
      expect(await source.deliver([counting(`${name}-ok`, name)])).toEqual(['accepted']);
      expect(await db().counted(name)).toBe(3);
      expect(consumer.counts()).toMatchObject({ handled: 3, duplicates: 1, scheduled: 2, deadLetters: 1 });
      expect(await db().deadLetters(consumerName)).toHaveLength(1);
    },
  );

  it('a consumer and its retries work whatever parsers there are for every type but text', async () => {
    const name = uniqueName('parsed');
    const { transaction } = open({ types: typesWith(() => 'nonsense', everyTypeButText) });
    const { source, consumer, consumerName } = await start({
      transaction,
      handle: async (tx, event, { attempt }) => {
        if (event.id === `${name}-bad` && attempt < 3) throw new Error('not yet');
        await countUp(tx, event);
      },
    });
    await source.deliver([counting(`${name}-ok`, name), counting(`${name}-bad`, name), { value: 'poison' }]);
    await expect.poll(() => db().counted(name), soon).toBe(2);
    expect(await db().deadLetters(consumerName)).toHaveLength(1);
    await expect.poll(() => consumer.counts(), soon).toMatchObject({ handled: 2, scheduled: 1, retries: 0 });
  });

  it.each(Object.keys(rowChanges))(
    'a consumer whose answers are changed loses nothing, says so, and goes on when they are not: %s',
    async (change) => {
      const name = uniqueName('changed');
      const hostile = open({ plugin: plugins[change]?.() as never });
      let isHostile = true;
      const { source, consumer, logger, consumerName } = await start({
        transaction: (work, options) =>
          (isHostile ? wrapped(hostile.transaction) : db().transaction)(work as never, options) as never,
        handle: countUp,
      });
      const delivered = source.deliver([counting(`${name}-1`, name), counting(`${name}-2`, name)]);
      const accepted = () => consumer.counts().handled === 2;
      const refused = () =>
        logger.entries.some(
          ({ fields }) => (fields.err as { code?: string })?.code === 'CONSUMER_ANSWER_UNEXPECTED',
        );
      await expect.poll(() => accepted() || refused(), soon).toBe(true);
      if (!accepted()) {
        expect(source.committed()).toBeNull();
        expect(await db().inboxRows(consumerName)).toEqual([]);
        expect(await db().counted(name)).toBe(0);
      }
      isHostile = false;
      expect(await delivered).toEqual(['accepted']);
      expect(await db().counted(name)).toBe(2);
    },
  );
});
