import { createDatabase, findApiKey, migrateAll } from '@orders/db';
import { createTestDatabase } from '@orders/dev-stack/testing';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ordersctl } from './ordersctl.ts';

/** The environment of a database that the tests of one `describe` have, or each of them. */
function useDatabase(template: string, migrate: (url: string) => Promise<unknown>) {
  let database: Awaited<ReturnType<typeof createTestDatabase>> | undefined;
  return {
    create: async () => {
      database = await createTestDatabase({ template, migrate: async (url) => void (await migrate(url)) });
    },
    drop: () => database?.drop(),
    env: () => ({ DATABASE_URL: database?.url ?? '' }),
  };
}

const keysCreate = ['keys', 'create', '--tenant', 'acme', '--name', 'till'];

describe('a new database', () => {
  const { create, drop, env } = useDatabase('empty', async () => {});
  beforeEach(create);
  afterEach(drop);

  it('has no keys before it is migrated; the error says what to run', async () => {
    const { status, err } = await ordersctl(keysCreate, env());
    expect(status).toBe(1);
    expect(err).toMatch(/^error: the database lacks .*: run "ordersctl migrate" \(DB_SCHEMA_BEHIND\)\n$/);
  });

  it('is migrated by several processes at once, by one of them', async () => {
    const runs = await Promise.all([1, 2].map(() => ordersctl(['migrate', '--json'], env())));
    expect(runs.map((run) => run.status)).toEqual([0, 0]);
    const applied = runs.map((run) => run.json().applied as { set: string; migration: string }[]);
    expect(applied.filter((one) => one.length === 0)).toHaveLength(1);
    expect(applied.flat()).toContainEqual({ set: 'product', migration: '0001-orders-and-payments' });
  });
});

describe('a second schema of a database', () => {
  const { create, drop, env } = useDatabase('orders', migrateAll);
  beforeAll(create);
  afterAll(drop);

  it('is migrated by itself, and then has keys of its own', async () => {
    const client = new pg.Client({ connectionString: env().DATABASE_URL });
    await client.connect();
    await client.query('CREATE SCHEMA second');
    const url = new URL(env().DATABASE_URL);
    url.searchParams.set('options', '-c search_path=second,public');
    const there = { DATABASE_URL: url.href };
    const before = await ordersctl(keysCreate, there);
    expect([before.status, before.err]).toEqual([1, expect.stringContaining('(schema second)')]);
    const migrated = await ordersctl(['migrate', '--json'], there);
    const sets = (migrated.json().applied as { set: string }[]).map((one) => one.set);
    expect(new Set(sets)).toEqual(new Set(['outbox', 'consumer', 'product']));
    expect((await ordersctl(keysCreate, there)).status).toBe(0);
    const { rows } = await client.query(
      `SELECT (SELECT count(*) FROM second.api_keys)::int AS here, (SELECT count(*) FROM public.api_keys)::int AS elsewhere`,
    );
    await client.end();
    expect(rows).toEqual([{ here: 1, elsewhere: 0 }]);
  });
});

describe('a migrated database', () => {
  const { create, drop, env } = useDatabase('orders', migrateAll);
  beforeAll(create);
  afterAll(drop);

  it('is migrated again without effect, and says so', async () => {
    const { status, out, err } = await ordersctl(['migrate'], env());
    expect({ status, out, err }).toEqual({ status: 0, out: 'nothing to apply\n', err: '' });
  });

  it('gets a key that opens its tenant', async () => {
    const { status, json, err } = await ordersctl([...keysCreate, '--json'], env());
    expect({ status, err }).toEqual({ status: 0, err: '' });
    const { id, key, tenantId, name } = json();
    expect({ tenantId, name }).toEqual({ tenantId: 'acme', name: 'till' });

    const database = createDatabase({ url: env().DATABASE_URL });
    expect(await findApiKey(database.db, key as string)).toEqual({ keyId: id, tenantId: 'acme' });
    await database.close();
  });

  it('takes a key away by its id, again without effect, and says so of one that there is not', async () => {
    const { json: created } = await ordersctl([...keysCreate, '--json'], env());
    const { id, key } = created() as { id: string; key: string };
    const revoke = (what: string) => ordersctl(['keys', 'revoke', '--id', what, '--json'], env());
    const [first, again] = [await revoke(id), await revoke(id)];
    expect(first.json()).toMatchObject({ id, tenantId: 'acme', name: 'till' });
    expect(again.json()).toEqual(first.json());
    const database = createDatabase({ url: env().DATABASE_URL });
    expect(await findApiKey(database.db, key)).toBeNull();
    await database.close();
    const unknown = await revoke('00000000-0000-4000-8000-000000000000');
    expect([unknown.status, unknown.err]).toEqual([1, expect.stringContaining('DB_API_KEY_UNKNOWN')]);
    const mistaken = await revoke(key);
    expect([mistaken.status, mistaken.err]).toEqual([2, expect.stringContaining('not the key')]);
  });

  it('has no dead letters of the relay, and says so of one that is to be redriven', async () => {
    const { json } = await ordersctl(['relay', 'dead-letters', '--json'], env());
    expect(json()).toEqual({ deadLetters: [] });
    const redrive = await ordersctl(['relay', 'redrive', '--id', '1'], env());
    expect(redrive.status).toBe(1);
    expect(redrive.err).toMatch(/^error: no dead letter number 1 .*\(OUTBOX_DEAD_LETTER_UNKNOWN\)\n$/);
  });

  it('prints the key on a line of its own for people', async () => {
    const { out } = await ordersctl(keysCreate, env());
    expect(out).toMatch(/^ord_[A-Za-z0-9_-]{43}\nKey [0-9a-f-]{36} of tenant acme\. .*\n$/);
  });
});
