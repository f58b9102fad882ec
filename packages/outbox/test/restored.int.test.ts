import { afterEach, beforeEach, expect, it } from 'vitest';
import { adoptRestoredOutbox, createRelay } from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventsFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';

let database: OutboxDatabase;
beforeEach(async () => {
  database = await openTestDatabase();
  await database.add(eventsFor('restored', 10, 1));
  await database.pool.query(`UPDATE outbox SET published_at = now() WHERE seq <= 4`);
});
afterEach(() => database?.close());

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

it('an outbox at home is not refused, empty or not', async () => {
  for (const sql of ['SELECT 1', 'DELETE FROM outbox']) {
    await database.pool.query(sql);
    const { relay } = openRelay();
    await relay.start();
    await relay.stop();
  }
});
