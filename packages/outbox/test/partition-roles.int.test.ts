import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createRelay } from '../src/index.ts';
import { outboxSql } from '../src/migrations.ts';
import { outboxNames } from '../src/postgres.ts';
import { relaySettings } from '../src/relay/options.ts';
import { createPartitionKeeper } from '../src/relay/partition-keeper.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { type OutboxDatabase, openTestDatabase, uniqueName } from './fixture.ts';
import { dayMs, patientMs } from './partition-fixture.ts';
import { poll } from './relay-fixture.ts';

// Roles belong to the server, which other tests share.
const [owner, member, stranger] = ['owner', 'member', 'stranger'].map((name) =>
  uniqueName(name).replaceAll('-', '_'),
);
const schema = 'its "Own" schema';
let database: OutboxDatabase;
const pools: pg.Pool[] = [];

beforeAll(async () => {
  database = await openTestDatabase();
  for (const role of [owner, member, stranger])
    await database.pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  await database.pool.query(`GRANT ${owner} TO ${member}`);
  await database.pool.query(
    `DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ${owner}', current_database()); END $$`,
  );
  await as(owner).query(outboxSql({ schema }));
  const quoted = `"${schema.replaceAll('"', '""')}"`;
  await as(owner).query(`GRANT USAGE ON SCHEMA ${quoted} TO ${stranger}`);
  await as(owner).query(`GRANT ALL ON ALL TABLES IN SCHEMA ${quoted} TO ${stranger}`);
  await as(owner).query(`GRANT ALL ON ALL SEQUENCES IN SCHEMA ${quoted} TO ${stranger}`);
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  for (const role of [stranger, member, owner]) {
    await database?.pool.query(`DROP OWNED BY ${role}`);
    await database?.pool.query(`DROP ROLE ${role}`);
  }
  await database?.close();
});

function as(role: string | undefined): pg.Pool {
  const url = new URL(database.url);
  url.username = String(role);
  url.password = 'x';
  const pool = new pg.Pool({ connectionString: url.href, max: 5 });
  pool.on('error', () => undefined);
  pools.push(pool);
  return pool;
}

/** Partitions and who owns them. */
// What is in a partition keeps it.
beforeEach(() => database.pool.query(`DELETE FROM ${outboxNames(schema).outbox}`));

async function partitions() {
  const { rows } = await database.pool.query(
    `SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class
     WHERE relkind = 'r' AND relname ~ '^outbox_p\\d' AND relnamespace = $1::regnamespace`,
    [`"${schema.replaceAll('"', '""')}"`],
  );
  return rows as { relname: string; owner: string }[];
}

const says = () => {
  const said: { level: string; fields: { err?: { code?: string } } }[] = [];
  const log = (level: string) => (fields: object) => void said.push({ level, fields });
  return { said, logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') } };
};

it("a member of the owner makes and drops partitions, in a schema of any name, and they are the owner's", async () => {
  const { said, logger } = says();
  const keep = async (retentionMs: number, partitionsAhead: number) =>
    createPartitionKeeper(
      {
        ...{ pool: as(member), names: outboxNames(schema), relayId: 'me', logger },
        crashPoint: () => undefined,
        lockTimeoutMs: patientMs,
      },
      { ...relaySettings({ partitionsAhead }), retentionMs },
    ).round();
  const before = (await partitions()).length;
  await keep(dayMs, 9);
  expect(await partitions()).toHaveLength(before + 2);
  expect(new Set((await partitions()).map((one) => one.owner))).toEqual(new Set([owner]));
  // With a retention that is over before it begins, all go that nothing stands in.
  await keep(-20 * dayMs, 1);
  expect((await partitions()).length).toBeLessThan(3);
  expect(said.filter(({ level }) => level !== 'info')).toEqual([]);
});

it('a role that may not do it says so, with a code, once, leaves the turn to others, and goes on publishing', async () => {
  const { said, logger } = says();
  const broker = createMemoryBroker();
  broker.createTopic('t');
  await broker.publisher.connect();
  const pool = as(stranger);
  const relay = createRelay(
    { pool, publisher: broker.publisher, logger },
    { schema, pollIntervalMs: 50, partitionIntervalMs: 20 },
  );
  await relay.start();
  await expect.poll(() => said.filter(({ level }) => level === 'error'), poll).toHaveLength(1);
  await pool.query(
    `INSERT INTO ${outboxNames(schema).outbox} (id, bucket, topic, key, type, aggregatetype, aggregateid, payload)
     VALUES (gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}')`,
  );
  await expect.poll(() => broker.read('t').length, poll).toBe(1);
  await relay.stop();
  const [error] = said.filter(({ level }) => level === 'error');
  expect(error?.fields.err).toMatchObject({
    code: 'OUTBOX_PARTITIONS_FORBIDDEN',
    message: expect.stringContaining(`${owner} owns the table, ${stranger} is not a member of it`),
  });
  const { rows } = await pool.query(`SELECT relay FROM ${outboxNames(schema).maintenance}`);
  expect(rows).toEqual([{ relay: null }]);
});
