import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { adoptRestoredOutbox, createRelay, outboxStatus } from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { cuttablePostgres } from './cuttable-postgres.ts';
import { eventsFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';
import { fastLease, poll } from './relay-fixture.ts';

let database: OutboxDatabase;
beforeEach(async () => {
  database = await openTestDatabase();
  await database.add(eventsFor('restored', 10, 1));
  await database.pool.query(`UPDATE outbox SET published_at = now() WHERE seq <= 4`);
});
let atEnd: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of atEnd) await end();
  atEnd = [];
  await database?.close();
});

function openRelay() {
  const broker = createMemoryBroker();
  broker.createTopic('restored');
  const relay = createRelay({ pool: database.pool, publisher: broker.publisher }, { pollIntervalMs: 50 });
  return { relay, broker };
}

it.each([
  ['transaction ids', `UPDATE outbox SET xid = '9000000000000000000'`],
  ['numbers', `UPDATE outbox_buckets SET low_seq = 5000`],
  ['numbers', `ALTER SEQUENCE outbox_seq RESTART`],
])(
  '%s from another server: the relay refuses to start until they are adopted, then loses nothing',
  async (what, restore) => {
    await database.pool.query(restore);
    const { relay, broker } = openRelay();
    await broker.publisher.connect();
    await expect(relay.start()).rejects.toMatchObject({
      code: 'OUTBOX_RESTORED',
      message: expect.stringContaining(what),
    });
    expect(await database.count(`published_at IS NULL`)).toBe(6);

    expect(await adoptRestoredOutbox(database.pool)).toBe(6);
    await relay.start();
    const later = eventsFor('restored', 5, 1, 10);
    await database.add(later);
    await expect
      .poll(() => broker.read('restored').map(({ headers }) => Number(headers.n)))
      .toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    await relay.stop();
  },
);

describe('the relay looks before it publishes', () => {
  const restore = `UPDATE outbox SET xid = '9000000000000000000'`;

  async function isThere(table: string): Promise<boolean> {
    const { rows } = await database.pool.query('SELECT to_regclass($1) IS NOT NULL AS found', [table]);
    return rows[0].found;
  }

  async function relayBehindProxy() {
    const postgres = await cuttablePostgres(database);
    const broker = createMemoryBroker();
    broker.createTopic('restored');
    await broker.publisher.connect();
    const error = vi.fn();
    const logger = { debug() {}, info() {}, warn() {}, error };
    // A drop that meets somebody's lock waits for the next of these.
    const options = { ...fastLease, partitionIntervalMs: 200 };
    const relay = createRelay({ pool: postgres.pool, publisher: broker.publisher, logger }, options);
    const refusals = () =>
      error.mock.calls.filter(([fields]) => fields.err?.code === 'OUTBOX_RESTORED').length;
    const numbers = () => broker.read('restored').map(({ headers }) => Number(headers.n));
    atEnd.push(relay.stop, postgres.close);
    return { ...postgres, relay, refusals, numbers };
  }

  it('also when the database was away at its start; adopted, it goes on by itself', async () => {
    await database.pool.query(restore);
    await database.pool.query(
      `CREATE TABLE outbox_old PARTITION OF outbox FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`,
    );
    const { relay, cut, heal, refusals, numbers } = await relayBehindProxy();
    cut();
    await relay.start();
    heal();
    await expect.poll(refusals, poll).toBeGreaterThan(2);
    expect({ healthy: relay.isHealthy(), published: numbers() }).toEqual({ healthy: false, published: [] });
    expect((await outboxStatus(database.pool)).isRestored).toBe(true);
    expect(await isThere('outbox_old')).toBe(true); // nor is anything dropped
    await adoptRestoredOutbox(database.pool);
    await expect.poll(numbers, poll).toEqual([4, 5, 6, 7, 8, 9]);
    await expect.poll(() => isThere('outbox_old'), poll).toBe(false);
  });

  it('also when another database answers after it was away', async () => {
    const { relay, cut, heal, refusals, numbers } = await relayBehindProxy();
    await relay.start();
    await expect.poll(numbers, poll).toEqual([4, 5, 6, 7, 8, 9]);
    cut();
    await database.pool.query(restore);
    await database.pool.query('DELETE FROM outbox_relays');
    await database.add(eventsFor('restored', 1, 1, 10));
    await database.pool.query(restore);
    heal();
    await expect.poll(refusals, poll).toBeGreaterThan(2);
    expect(numbers()).toHaveLength(6);
  });
});

it('an outbox at home is not refused, empty or not', async () => {
  for (const sql of ['SELECT 1', 'DELETE FROM outbox']) {
    await database.pool.query(sql);
    const { relay } = openRelay();
    await relay.start();
    await relay.stop();
  }
});
