import { createDatabase, type DatabaseHandle, inTransaction, migrateAll } from '@orders/db';
import { createTestDatabase, type TestDatabase } from '@orders/dev-stack/testing';
import { createOutbox, outboxStatus } from '@orders/outbox';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { run } from './run.ts';

let testDatabase: TestDatabase;
let database: DatabaseHandle;
beforeAll(async () => {
  testDatabase = await createTestDatabase({
    template: 'orders',
    migrate: async (url) => void (await migrateAll(url)),
  });
  database = createDatabase({ url: testDatabase.url });
  vi.stubEnv('DATABASE_URL', testDatabase.url);
  const event = { topic: 'orders', key: 'k', type: 't.v1', payload: {} };
  await inTransaction(database.db, (tx) => createOutbox().add(tx, [event, event]));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await database?.close();
  await testDatabase?.drop();
});

const relay = (...args: string[]) => run('relay', ...args);
const paused = async () => (await outboxStatus(database.pool)).paused;
const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/);

describe('ordersctl relay', () => {
  it('pauses all relays, says so in its status, and has them go on', async () => {
    const reason = 'the broker is being moved';
    const pause = await relay('pause', '--reason', reason, '--json');
    expect(pause.json()).toEqual({ paused: { since: isoTime, reason } });
    expect(await paused()).toMatchObject({ reason });
    expect((await relay('pause', '--reason', 'another')).out).toMatch(
      /^paused since .*Z: the broker is being moved\n$/,
    );
    expect((await relay('status')).out).toContain(`Z: ${reason}\n`);
    expect((await relay('resume', '--json')).json()).toEqual({
      paused: null,
      ended: { since: isoTime, reason },
    });
    expect(await paused()).toBeNull();
    expect((await relay('resume')).out).toBe('not paused\n');
  });

  it('shows what waits, who has it, what is blocked and what is set aside', async () => {
    const { pool } = database;
    await pool.query(`INSERT INTO outbox_relays VALUES ('relay-1', now(), now())`);
    await pool.query(`UPDATE outbox_buckets SET owner = 'relay-1' WHERE bucket < 4`);
    await pool.query(`INSERT INTO outbox_blocked VALUES (1, 'order', 'o-1', 'BLOCKED')`);
    await pool.query(`INSERT INTO outbox_parked VALUES (1, 'missing')`);
    const { status, out, err } = await relay('status');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    for (const line of [
      /^not paused$/m,
      /^backlog: 2, oldest \d+\.\d s$/m,
      /^relay relay-1: 4 buckets$/m,
      /^without a relay: 60 buckets$/m,
      /^blocked aggregates: 1\n {2}order o-1 BLOCKED since .*Z$/m,
      /^set aside: topic missing, in 1 buckets, since .*Z$/m,
      /^partitions: \d+, \d+\.\d days ahead$/m,
    ])
      expect(out).toMatch(line);
    const json = (await relay('status', '--json')).json();
    expect(json).toMatchObject({ backlog: 2, blockedAggregates: 1, setAsideTopics: [{ topic: 'missing' }] });
    await pool.query('DELETE FROM outbox_blocked');
    await pool.query('DELETE FROM outbox_parked');
    await pool.query('DELETE FROM outbox_relays');
  });
});

describe('ordersctl relay adopt-restored', () => {
  beforeEach(() => database.pool.query(`UPDATE outbox SET xid = '9000000000000000000'`));
  const isRestored = async () => (await outboxStatus(database.pool)).isRestored;

  it('without --yes says what it would do, and changes nothing', async () => {
    expect((await relay('status')).out).toMatch(/^restored from another server: .*adopt-restored/);
    const { status, out, err } = await relay('adopt-restored');
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(/^error: .*nothing was changed.*--yes.*\(ORDERSCTL_USAGE\)\n$/);
    expect(await isRestored()).toBe(true);
  });

  it('makes the outbox this server’s own, once', async () => {
    expect((await relay('adopt-restored', '--yes', '--json')).json()).toEqual({
      adopted: true,
      unpublished: 2,
    });
    expect(await isRestored()).toBe(false);
    expect((await relay('adopt-restored', '--yes')).out).toMatch(/^nothing to adopt/);
  });
});

it('on a database that is behind, it says what to run', async () => {
  const empty = await createTestDatabase({ template: 'empty', migrate: async () => undefined });
  vi.stubEnv('DATABASE_URL', empty.url);
  const { status, err } = await relay('pause');
  expect(status).toBe(1);
  expect(err).toMatch(/^error: .*run "ordersctl migrate" \(DB_SCHEMA_BEHIND\)\n$/);
  await empty.drop();
});
