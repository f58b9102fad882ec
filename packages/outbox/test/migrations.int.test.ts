import { createTestDatabase, type TestDatabase, uniqueName } from '@orders/dev-stack/testing';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator, type MigratorProps } from 'kysely/migration';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOutbox, createRelay } from '../src/index.ts';
import {
  createOutboxMigrations,
  outboxMigrationLockTable,
  outboxMigrations,
  outboxMigrationTable,
  outboxMigratorSettings,
  outboxSql,
} from '../src/migrations.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventsFor } from './fixture.ts';

let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase({ template: 'empty', migrate: async () => undefined });
  pool = new pg.Pool({ connectionString: database.url, max: 5 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

/** Tables, columns, constraints, indexes, functions and sequences of a schema, without its name. */
async function catalogOf(schema: string): Promise<string[]> {
  const { rows } = await pool.query(
    `SELECT concat_ws(' ', c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                      pg_get_expr(d.adbin, d.adrelid), pg_get_expr(c.relpartbound, c.oid)) AS line
       FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
     UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
     UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1::text
     UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)`,
    [schema],
  );
  const lines = rows.map(({ line }) => String(line).replaceAll(new RegExp(`"?${schema}"?\\.?`, 'g'), ''));
  return lines.filter((line) => !line.includes(outboxMigrationLockTable)).toSorted();
}

async function migrate(settings: Omit<MigratorProps, 'db'>, config: pg.PoolConfig = {}) {
  const ownPool = new pg.Pool({ connectionString: database.url, ...config });
  const db = new Kysely({ dialect: new PostgresDialect({ pool: ownPool }) });
  const { error, results } = await new Migrator({ db, ...settings }).migrateToLatest();
  await db.destroy();
  return { error, applied: results?.length };
}

const all = { error: undefined, applied: Object.keys(outboxMigrations).length };
const none = { error: undefined, applied: 0 };

/** As one sets up a Migrator who knows only Kysely. */
const byHand = (migrations: typeof outboxMigrations): Omit<MigratorProps, 'db'> => ({
  provider: { getMigrations: async () => ({ ...migrations }) },
  migrationTableName: outboxMigrationTable,
  migrationLockTableName: outboxMigrationLockTable,
});

// In this order: the first needs a database without any of the tables, the last the tables of another.
describe('the migrations', { shuffle: false }, () => {
  it('give the same tables by Kysely and as plain SQL, in any schema', async () => {
    expect(await migrate(byHand(outboxMigrations))).toEqual(all);
    expect(await migrate(outboxMigratorSettings({ schema: 'by_kysely' }))).toEqual(all);
    await pool.query(outboxSql({ schema: 'by_sql' }));
    await pool.query(outboxSql({ schema: `quoted "'` }));
    const catalog = await catalogOf('by_sql');
    expect(catalog.length).toBeGreaterThan(50);
    expect(await catalogOf('by_kysely')).toEqual(catalog);
    expect(await catalogOf('public')).toHaveLength(catalog.length);
    expect(await catalogOf(`quoted "'`)).toHaveLength(catalog.length);
  });

  it('that were applied as plain SQL are known to a Migrator', async () => {
    await pool.query(outboxSql({ schema: 'handed_over' }));
    expect(await migrate(outboxMigratorSettings({ schema: 'handed_over' }))).toEqual(none);
  });

  it('that were applied by a Migrator set up by hand are known to one with the settings', async () => {
    expect(await migrate(outboxMigratorSettings({ schema: 'public' }))).toEqual(none);
  });

  it('are applied to each schema by itself', async () => {
    const schemas = ['schema_a', 'schema_b', `"'`];
    for (const schema of schemas) expect(await migrate(outboxMigratorSettings({ schema }))).toEqual(all);
    for (const schema of schemas) expect(await migrate(outboxMigratorSettings({ schema }))).toEqual(none);
    // What is behind the schema in search_path does not count either.
    const options = '-c search_path=schema_c,public';
    expect(await migrate(outboxMigratorSettings({ schema: 'schema_c' }), { options })).toEqual(all);
    const catalog = await catalogOf('schema_a');
    for (const schema of ['schema_b', 'schema_c']) expect(await catalogOf(schema)).toEqual(catalog);
  });

  it('that a Migrator set up by hand holds for applied are missed by the relay at its start', async () => {
    expect(await migrate(byHand(createOutboxMigrations({ schema: 'forgotten' })))).toEqual(none);
    const { publisher } = createMemoryBroker();
    const relay = createRelay({ pool, publisher }, { schema: 'forgotten' });
    await expect(relay.start()).rejects.toMatchObject({ code: 'OUTBOX_NOT_MIGRATED' });
  });

  it('need no right to create schemas where the schema is there', async () => {
    const role = uniqueName('role');
    await pool.query(`CREATE ROLE "${role}"; CREATE SCHEMA given AUTHORIZATION "${role}"`);
    const settings = outboxMigratorSettings({ schema: 'given' });
    expect(await migrate(settings, { options: `-c role=${role}` })).toEqual(all);
    await pool.query(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
  });

  it('leave search_path as it was, and refuse to work without a transaction', async () => {
    const client = await pool.connect();
    const before = await client.query('SHOW search_path');
    await client.query(outboxSql({ schema: 'left_alone' }));
    expect((await client.query('SHOW search_path')).rows).toEqual(before.rows);
    client.release(true);
    const bare = new Kysely({
      dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) }),
    });
    const [first] = Object.values(createOutboxMigrations({ schema: 'bare' }));
    await expect(first?.up(bare)).rejects.toThrow('need a transaction');
    await bare.destroy();
  });

  it('as plain SQL without a transaction are applied in that of the tool, or not at all', async () => {
    const client = await pool.connect();
    const script = outboxSql({ schema: 'by_tool', transaction: false });
    expect(script).not.toMatch(/^(BEGIN|COMMIT)/m);
    const isThere = async () =>
      (await client.query(`SELECT to_regclass('by_tool.outbox_migrations') AS name`)).rows[0].name !== null;
    for (const end of ['ROLLBACK', 'COMMIT']) {
      await client.query('BEGIN');
      await client.query(script);
      await client.query(end);
      expect(await isThere()).toBe(end === 'COMMIT');
    }
    client.release();
  });

  it('of which none is due give a script that changes nothing', async () => {
    const before = await catalogOf('left_alone');
    const after = Object.keys(outboxMigrations).toSorted().at(-1) ?? '';
    await pool.query(outboxSql({ schema: 'left_alone', after }));
    expect(before.length).toBeGreaterThan(50);
    expect(await catalogOf('left_alone')).toEqual(before);
  });

  it('writer and relay work in a schema that is not in search_path', async () => {
    await pool.query(outboxSql({ schema: 'messaging' }));
    const broker = createMemoryBroker();
    broker.createTopic('in-schema');
    await broker.publisher.connect();
    const outbox = createOutbox({ schema: 'messaging', pool });
    const relay = createRelay(
      { pool, publisher: broker.publisher },
      { schema: 'messaging', pollIntervalMs: 50 },
    );
    await relay.start();
    const client = await pool.connect();
    await client.query('BEGIN');
    const ids = await outbox.add(client, eventsFor('in-schema', 20, 1));
    await client.query('COMMIT');
    client.release();
    outbox.wake();
    await expect.poll(() => broker.read('in-schema').map((record) => record.id)).toEqual(ids);
    await relay.stop();
    await outbox.close();
  });
});
