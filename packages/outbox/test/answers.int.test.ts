import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CamelCasePlugin, Kysely, type KyselyPlugin, PostgresDialect } from 'kysely';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createOutbox,
  createRelay,
  listDeadLetters,
  outboxStatus,
  type PgTransaction,
  type PoolLike,
  pauseRelays,
} from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor, eventsFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';
import { nonsense, useAll } from './nonsense.ts';

let database: OutboxDatabase;
beforeEach(async () => {
  database = await openTestDatabase();
});
afterEach(() => database?.close());

/** What is told on a database that `use` has for itself. */
async function toldOn(use: (own: OutboxDatabase) => Promise<unknown>): Promise<unknown> {
  const own = await openTestDatabase();
  try {
    const told = await use(own).catch((error: Error) => ({ failed: error.message }));
    return JSON.parse(JSON.stringify(told));
  } finally {
    await own.close();
  }
}

describe('type parsers that make nonsense of every type change nothing', () => {
  const plainly = () => toldOn((own) => useAll(own.openPool({ max: 6 }), own.url));

  it('when they are set process-wide', async () => {
    const args = [fileURLToPath(new URL('nonsense-process.ts', import.meta.url)), database.url];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const told = JSON.parse(stdout);
    expect(told).toMatchObject({ relay: [4, 4, 0, 2, 64, 0], unpublished: 2 });
    expect(told).toEqual(await plainly());
  }, 90_000);

  it('when a pool has them', async () => {
    const told = await toldOn((own) => useAll(own.openPool({ max: 6, types: nonsense }), own.url));
    expect(told).toEqual(await plainly());
  }, 90_000);
});

it('the forms in which a session writes bytes, times and numbers change nothing', async () => {
  const options = '-c bytea_output=escape -c datestyle=German -c extra_float_digits=0';
  const told = await toldOn((own) => useAll(own.openPool({ max: 6, options }), own.url));
  expect(told).toEqual(await toldOn((own) => useAll(own.openPool({ max: 6 }), own.url)));
}, 90_000);

describe('plugins of the caller', () => {
  const dropsRows: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => ({ ...result, rows: [] }),
  };

  it.each([
    ['renames columns', new CamelCasePlugin()],
    ['drops rows', dropsRows],
  ])('one that %s changes nothing of what add is answered', async (_, plugin) => {
    const db = new Kysely({ dialect: new PostgresDialect({ pool: database.pool }), plugins: [plugin] });
    const added = db.transaction().execute((tx) => createOutbox().add(tx, eventsFor('well', 3)));
    await expect(added).resolves.toHaveLength(3);
    expect(await database.count()).toBe(3);
  });
});

describe('a wrapper that changes answers is an error, before anything is done', () => {
  /** As a pool of another kind than pg's, whose answers are what `change` makes of them. */
  const wrapped = (change: (row: Record<string, unknown>) => Record<string, unknown>): PoolLike => ({
    async query(text, values) {
      const { rows, rowCount } = await database.pool.query(text, values);
      return { rows: rows.map(change), rowCount };
    },
    connect: () => database.pool.connect(),
  });
  const of = (change: (value: unknown, name: string) => unknown) =>
    wrapped((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, change(value, name)])),
    );
  const upperCase = wrapped((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value])),
  );

  it.each<[string, () => PoolLike]>([
    ['columns have other names', () => upperCase],
    ['numbers are other numbers', () => of((value) => (typeof value === 'number' ? value + 1 : value))],
    ['booleans are others', () => of((value) => (typeof value === 'boolean' ? !value : value))],
    ['text is in capitals', () => of((value) => (typeof value === 'string' ? value.toUpperCase() : value))],
    ['bytes are others', () => of((value) => (Buffer.isBuffer(value) ? Buffer.alloc(3) : value))],
    ['nothing is null', () => of((value) => value ?? '')],
  ])('%s', async (_, open) => {
    await database.add(eventFor('well', 'key'));
    const pool = open();
    const broker = createMemoryBroker();
    const relay = createRelay({ pool, publisher: broker.publisher });
    const unexpected = { code: 'OUTBOX_ANSWER_UNEXPECTED' };
    await expect(relay.start()).rejects.toMatchObject(unexpected);
    await expect(outboxStatus(pool)).rejects.toMatchObject(unexpected);
    await expect(listDeadLetters(pool)).rejects.toMatchObject(unexpected);
    await expect(pauseRelays(pool)).rejects.toMatchObject(unexpected);
    expect((await outboxStatus(database.pool)).paused).toBeNull();
    expect((await outboxStatus(database.pool)).buckets.filter(({ owner }) => owner !== null)).toEqual([]);
  });

  it('a wrapper that changes nothing is as good as pg', async () => {
    await database.add(eventsFor('well', 20));
    const broker = createMemoryBroker();
    broker.createTopic('well');
    const pool = wrapped((row) => row);
    const relay = createRelay({ pool, publisher: broker.publisher });
    await relay.start();
    await expect.poll(() => database.unpublished('well'), { timeout: 10_000 }).toBe(0);
    await relay.stop();
    expect((await outboxStatus(pool)).backlog).toBe(0);
    expect(broker.read('well')).toHaveLength(20);
  });

  it('a transaction that does not say how many rows there were', async () => {
    const client = await database.pool.connect();
    const query = async (text: string, values?: unknown[]) => {
      const { rows } = await client.query(text, values);
      return { rows } as unknown as pg.QueryResult;
    };
    const tx: PgTransaction = { query };
    await client.query('BEGIN');
    const added = createOutbox().add(tx, eventFor('well', 'key'));
    await expect(added).rejects.toMatchObject({ code: 'OUTBOX_ANSWER_UNEXPECTED' });
    await client.query('ROLLBACK');
    client.release();
    expect(await database.count()).toBe(0);
  });
});
