import { createTestDatabase, type TestDatabase, uniqueName } from '@orders/dev-stack/testing';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import { Migrator, type MigratorProps } from 'kysely/migration';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createConsumer, processOnce } from '../src/index.ts';
import {
  consumerMigrationLockTable,
  consumerMigrations,
  consumerMigrationTable,
  consumerMigratorSettings,
  consumerSql,
  createConsumerMigrations,
} from '../src/migrations.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { soon } from './harness.ts';

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

const all = Object.keys(consumerMigrations).length;

/** Tables, columns, constraints and indexes of a schema, without its name. */
async function catalogOf(schema: string): Promise<string[]> {
  const { rows } = await pool.query(
    `SELECT concat_ws(' ', c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                      pg_get_expr(d.adbin, d.adrelid)) AS line
       FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
     UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
     UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1::text`,
    [schema],
  );
  const prefixes = [`"${schema.replaceAll('"', '""')}".`, `${schema}.`];
  const lines = rows.map(({ line }) => prefixes.reduce((text, it) => text.replaceAll(it, ''), String(line)));
  return lines.filter((line) => !line.includes(consumerMigrationLockTable)).toSorted();
}

/** Migrates to the latest and returns how many migrations were applied. */
async function migrate(
  settings: Omit<MigratorProps, 'db'>,
  config: pg.PoolConfig = {},
): Promise<number | undefined> {
  const ownPool = new pg.Pool({ connectionString: database.url, ...config });
  const db = new Kysely({ dialect: new PostgresDialect({ pool: ownPool }) });
  const { error, results } = await new Migrator({ db, ...settings }).migrateToLatest();
  await db.destroy();
  if (error !== undefined) throw error;
  return results?.length;
}

function databaseIn(schema: string): Kysely<unknown> {
  const ownPool = new pg.Pool({ connectionString: database.url, options: `-c search_path=${schema}` });
  return new Kysely({ dialect: new PostgresDialect({ pool: ownPool }) });
}

it('each schema of a database is migrated by itself', async () => {
  const schemas = ['public', uniqueName('one'), `quoted "' ${uniqueName('two')}`];
  for (const schema of schemas) expect(await migrate(consumerMigratorSettings({ schema }))).toBe(all);
  for (const schema of schemas) expect(await migrate(consumerMigratorSettings({ schema }))).toBe(0);
  const catalog = await catalogOf('public');
  expect(catalog.length).toBeGreaterThan(20);
  for (const schema of schemas) expect(await catalogOf(schema)).toEqual(catalog);
});

it('a schema whose tables were there in plain SQL is not migrated once more, and the tables are the same', async () => {
  const [byKysely, bySql] = [uniqueName('by_kysely'), uniqueName('by_sql')];
  await migrate(consumerMigratorSettings({ schema: byKysely }));
  await pool.query(consumerSql({ schema: bySql }));
  expect(await migrate(consumerMigratorSettings({ schema: bySql }))).toBe(0);
  expect(await catalogOf(bySql)).toEqual(await catalogOf(byKysely));
  const after = Object.keys(consumerMigrations).toSorted().at(-1) ?? '';
  await pool.query(consumerSql({ schema: bySql, after }));
  expect(await catalogOf(bySql)).toEqual(await catalogOf(byKysely));
});

it('a role that may not create schemas migrates the one it was given', async () => {
  const [role, schema] = [uniqueName('role'), uniqueName('given')];
  await pool.query(`CREATE ROLE "${role}"`);
  await pool.query(`CREATE SCHEMA "${schema}" AUTHORIZATION "${role}"`);
  const options = `-c role=${role}`;
  expect(await migrate(consumerMigratorSettings({ schema }), { options })).toBe(all);
  await pool.query(`DROP OWNED BY "${role}"`);
  await pool.query(`DROP ROLE "${role}"`);
});

it('search_path is left as it was, and without a transaction nothing is done', async () => {
  const client = await pool.connect();
  const before = await client.query('SHOW search_path');
  await client.query(consumerSql({ schema: uniqueName('left_alone') }));
  expect((await client.query('SHOW search_path')).rows).toEqual(before.rows);
  client.release(true);
  const bare = new Kysely({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) }),
  });
  const [first] = Object.values(createConsumerMigrations({ schema: uniqueName('bare') }));
  await expect(first?.up(bare)).rejects.toThrow('need a transaction');
  await bare.destroy();
});

it('plain SQL without a transaction is applied in that of the tool, or not at all', async () => {
  const client = await pool.connect();
  const script = consumerSql({ schema: 'by_tool', transaction: false });
  expect(script).not.toMatch(/^(BEGIN|COMMIT)/m);
  const isThere = async () =>
    (await client.query(`SELECT to_regclass('by_tool.consumer_migrations') AS name`)).rows[0].name !== null;
  for (const end of ['ROLLBACK', 'COMMIT']) {
    await client.query('BEGIN');
    await client.query(script);
    await client.query(end);
    expect(await isThere()).toBe(end === 'COMMIT');
  }
  client.release();
});

it('the inbox is the one of the search_path', async () => {
  const schema = uniqueName('own');
  await migrate(consumerMigratorSettings({ schema }));
  const db = databaseIn(schema);
  const process = () =>
    db
      .transaction()
      .execute((tx) => processOnce(tx, { consumerName: 'billing', eventId: schema }, async () => 'done'));
  expect(await process()).toEqual({ outcome: 'processed', result: 'done' });
  expect(await process()).toEqual({ outcome: 'duplicate' });
  await db.destroy();
  const { rows } = await pool.query(`SELECT event_id FROM "${schema}".processed_events`);
  expect(rows).toEqual([{ event_id: schema }]);
});

it('what a Migrator set up by hand holds for applied is missed by the consumer at its start', async () => {
  await migrate(consumerMigratorSettings({ schema: uniqueName('noted') }));
  const schema = uniqueName('forgotten');
  await pool.query(`CREATE SCHEMA "${schema}"`);
  const byHand = {
    provider: { getMigrations: async () => ({ ...createConsumerMigrations({ schema }) }) },
    migrationTableName: consumerMigrationTable,
    migrationLockTableName: consumerMigrationLockTable,
  };
  await migrate(consumerMigratorSettings({ schema: 'public' }));
  expect(await migrate(byHand)).toBe(0);
  const db = databaseIn(schema);
  const consumer = createConsumer(
    { source: memorySource(), transaction: (work) => db.transaction().execute(work) },
    {
      consumerName: 'billing',
      decode: () => ({ kind: 'skip' }),
      handle: async (_tx: Transaction<unknown>) => undefined,
    },
  );
  await expect(consumer.start()).rejects.toMatchObject({
    code: 'CONSUMER_NOT_MIGRATED',
    message: expect.stringMatching(/^relation "processed_events" does not exist; apply the migrations/),
  });
  expect(consumer.isHealthy()).toBe(false);
  await consumer.stop();
  await db.destroy();
});

it('a database that is away keeps no consumer from starting', async () => {
  const away = async () => {
    throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  };
  const consumer = createConsumer(
    { source: memorySource(), transaction: away },
    {
      consumerName: 'billing',
      decode: () => ({ kind: 'skip' }),
      handle: async (_tx: Transaction<unknown>) => undefined,
    },
  );
  await consumer.start();
  await expect.poll(() => consumer.isHealthy(), soon).toBe(true);
  await consumer.stop();
});
