import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  assertSchemaFits,
  createDatabase,
  expand,
  type MigrationReport,
  type MigrationSet,
  migrateAll,
  migrationSets,
} from '../src/index.ts';
import { createEmptyDatabase, orderRow } from './databases.ts';

let url = '';
const drops: (() => Promise<void>)[] = [];
beforeEach(async () => {
  const empty = await createEmptyDatabase();
  url = empty.url;
  drops.push(empty.drop);
});
afterAll(async () => {
  await Promise.all(drops.map((drop) => drop()));
});

const all = migrationSets.flatMap((set) =>
  Object.keys(set.migrations)
    .sort()
    .map((migration) => ({ set: set.name, migration })),
);
const later = '9000-later';

/** The release after ours: one set has one migration more. */
const withLater = (name: string, statement: string, migration = later): MigrationSet[] =>
  migrationSets.map((set) =>
    set.name === name
      ? { ...set, migrations: { ...set.migrations, [migration]: expand([sql.raw(statement)]) } }
      : set,
  );

async function query(text: string) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const inSchema = (searchPath: string): string => {
  const there = new URL(url);
  there.searchParams.set('options', `-c search_path=${searchPath}`);
  return there.href;
};

async function assertFits(there: string): Promise<void> {
  const { db, close } = createDatabase({ url: there });
  await assertSchemaFits(db).finally(close);
}

describe('migrateAll', () => {
  it('applies the sets outbox, consumer, product and says what it did; then there is nothing to do', async () => {
    expect([...new Set(all.map((one) => one.set))]).toEqual(['outbox', 'consumer', 'product']);
    expect(await migrateAll(url)).toEqual({ applied: all, newer: [] });
    expect(await migrateAll(url)).toEqual({ applied: [], newer: [] });
  });

  it('migrates each schema of a database by itself, whatever stands in another one', async () => {
    await query('CREATE SCHEMA alone; CREATE SCHEMA before_public');
    for (const searchPath of ['public', 'alone', 'before_public,public']) {
      const there = inSchema(searchPath);
      await expect(assertFits(there)).rejects.toMatchObject({
        code: 'DB_SCHEMA_BEHIND',
        message: expect.stringContaining(`(schema ${searchPath.split(',')[0]})`),
      });
      expect(await migrateAll(there)).toEqual({ applied: all, newer: [] });
      expect(await migrateAll(there)).toEqual({ applied: [], newer: [] });
      await assertFits(there);
    }
    const tables = await query(`
      SELECT schemaname AS schema, count(*)::int AS tables FROM pg_tables
      WHERE schemaname IN ('public', 'alone', 'before_public') GROUP BY 1`);
    expect(tables).toHaveLength(3);
    expect(new Set(tables.map((row) => row.tables)).size).toBe(1);
  });

  it('says so when search_path names no schema that is there', async () => {
    await expect(migrateAll(inSchema('nowhere'))).rejects.toMatchObject({
      code: 'DB_SCHEMA_MISSING',
      message: 'search_path (nowhere) names no schema that is there and may be used',
    });
  });

  it('is safe from several processes at once: each migration is applied by one of them', async () => {
    const script = fileURLToPath(new URL('migrate-process.ts', import.meta.url));
    const run = promisify(execFile);
    const runs = await Promise.all([1, 2, 3, 4].map(() => run(process.execPath, [script, url])));
    const reports = runs.map(({ stdout }) => JSON.parse(stdout) as MigrationReport);
    expect(reports.filter((report) => report.applied.length > 0).map((report) => report.applied)).toEqual([
      all,
    ]);
  });

  it('applies a later migration of a library although the product’s have run and there are rows', async () => {
    // What the very first release had, in use.
    const first = migrationSets.map((set) => {
      const [name, migration] = Object.entries(set.migrations).sort()[0] as [string, never];
      return { ...set, migrations: { [name]: migration } };
    });
    await migrateAll(url, { sets: first });
    const database = createDatabase({ url });
    await database.db.insertInto('orders').values(orderRow()).execute();
    await database.close();
    await query(`
      INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, published_at)
      SELECT gen_random_uuid(), n, 'orders.events', 'k', 't', 'order', n::text, '{}', CASE n WHEN 1 THEN now() END
      FROM generate_series(1, 2) AS n`);
    await query(`INSERT INTO processed_events (event_id, worker_id) VALUES ('e', 'w')`);
    await query(`INSERT INTO dead_letter_events (event_id, worker_id, reason) VALUES ('e', 'w', 'r')`);
    const isFirst = ({ set, migration }: (typeof all)[number]) =>
      first.some(({ name, migrations }) => name === set && migration in migrations);
    expect(await migrateAll(url)).toEqual({ applied: all.filter((one) => !isFirst(one)), newer: [] });

    const sets = withLater('outbox', 'ALTER TABLE outbox ADD COLUMN priority int NOT NULL DEFAULT 7');
    expect(await migrateAll(url, { sets })).toEqual({
      applied: [{ set: 'outbox', migration: later }],
      newer: [],
    });
    expect(await query('SELECT count(*)::int AS orders FROM orders')).toEqual([{ orders: 1 }]);
    expect(
      await query('SELECT bucket, priority, published_at IS NULL AS waits FROM outbox ORDER BY seq'),
    ).toEqual([
      { bucket: 1, priority: 7, waits: false },
      { bucket: 2, priority: 7, waits: true },
    ]);
    expect(await query('SELECT event_id FROM processed_events')).toEqual([{ event_id: 'e' }]);
    expect(await query('SELECT event_id, state FROM dead_letter_events')).toEqual([
      { event_id: 'e', state: 'DEAD' },
    ]);
  });

  it('leaves a database that a newer program has migrated as it is', async () => {
    await migrateAll(url, { sets: withLater('outbox', 'CREATE TABLE newer ()') });
    expect(await migrateAll(url)).toEqual({ applied: [], newer: [{ set: 'outbox', migration: later }] });
  });

  it('says which migration failed and why; its set is applied whole or not at all', async () => {
    const broken = withLater('consumer', 'CREATE TABLE half (id int); SELECT 1 / 0');
    await expect(migrateAll(url, { sets: broken })).rejects.toMatchObject({
      code: 'DB_MIGRATION_FAILED',
      message: 'migration 9000-later of consumer could not be applied: division by zero',
    });
    expect(
      await query(`SELECT to_regclass('half') AS half, to_regclass('processed_events') AS inbox`),
    ).toEqual([{ half: null, inbox: null }]);
    // What stood before the failure stands, and the next run goes on from there.
    const rest = all.filter((one) => one.set !== 'outbox');
    expect(await migrateAll(url)).toEqual({ applied: rest, newer: [] });
  });

  it('refuses a migration whose name sorts before one that has been applied', async () => {
    await migrateAll(url);
    await expect(
      migrateAll(url, { sets: withLater('product', 'SELECT 1', '0000-early') }),
    ).rejects.toMatchObject({
      code: 'DB_MIGRATION_FAILED',
      message: expect.stringMatching(
        /^the migrations of product could not be applied: .*0001-orders-and-payments/,
      ),
    });
  });

  it('gives up on a table that somebody holds, rather than making everybody wait behind it', async () => {
    await migrateAll(url);
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE outbox IN ACCESS SHARE MODE');
    const sets = withLater('outbox', 'ALTER TABLE outbox ADD COLUMN priority int');
    await expect(migrateAll(url, { sets, lockTimeoutMs: 50 })).rejects.toMatchObject({
      code: 'DB_MIGRATION_FAILED',
      message: expect.stringMatching(/^migration 9000-later of outbox .*lock timeout/),
    });
    await holder.end();
    expect((await migrateAll(url, { sets })).applied).toEqual([{ set: 'outbox', migration: later }]);
  });

  it('waits for its turn, but not for ever; a holder that dies gives the turn away', async () => {
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    await holder.query(`SELECT pg_advisory_lock(hashtextextended('orders.migrations', 0))`);
    await expect(migrateAll(url, { turnTimeoutMs: 50 })).rejects.toMatchObject({
      code: 'DB_MIGRATION_LOCKED',
    });
    const waiting = migrateAll(url);
    await holder.end();
    expect((await waiting).applied).toEqual(all);
  });
});
