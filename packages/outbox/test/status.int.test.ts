import { afterAll, beforeAll, expect, it } from 'vitest';
import { bucketOf, createRelay, outboxStatus } from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';

let database: OutboxDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database?.close());

it('says that nothing waits, of no bucket', async () => {
  const status = await outboxStatus(database.pool);
  expect(status).toMatchObject({
    backlog: 0,
    backlogIsComplete: true,
    oldestUnpublishedAgeMs: null,
    oldestWritingTransactionMs: null,
  });
  expect(status.buckets).toHaveLength(64);
  expect(status.buckets[63]).toEqual({ bucket: 63, owner: null, epoch: 0, backlog: 0 });
});

it('says what waits, in which bucket, for how long, and who writes', async () => {
  await database.add([eventFor('waiting', 'a'), eventFor('waiting', 'a'), eventFor('waiting', 'b')]);
  const client = await database.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT pg_current_xact_id()');
  const status = await outboxStatus(database.pool);
  await client.query('ROLLBACK');
  client.release();
  expect(status).toMatchObject({ backlog: 3, backlogIsComplete: true });
  expect(status.buckets[bucketOf('a')]?.backlog).toBe(2);
  expect(status.oldestUnpublishedAgeMs).toBeGreaterThan(0);
  expect(status.oldestWritingTransactionMs).toBeGreaterThan(0);
});

it('counts no further than its limit, and says so', async () => {
  const status = await outboxStatus(database.pool, { countMax: 1 });
  expect(status).toMatchObject({ backlog: 2, backlogIsComplete: false });
});

it('says which relay owns a bucket, and since which epoch', async () => {
  const broker = createMemoryBroker();
  const relay = createRelay({ pool: database.pool, publisher: broker.publisher }, { relayId: 'status' });
  await relay.start();
  const { buckets } = await outboxStatus(database.pool);
  expect(new Set(buckets.map(({ owner }) => owner))).toEqual(new Set([relay.status().relayId]));
  expect(new Set(buckets.map(({ epoch }) => epoch))).toEqual(new Set([1]));
  await relay.stop();
});

it('says which partitions there are, and whether rows are in none of them', async () => {
  const { partitions } = await outboxStatus(database.pool);
  expect(partitions).toMatchObject({ count: 8, defaultIsUsed: false });
  const dayMs = 86_400_000;
  expect(partitions.oldestAgeMs).toBeLessThanOrEqual(2 * dayMs);
  expect(partitions.aheadMs).toBeGreaterThan(6 * dayMs);
  await database.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, created_at)
     VALUES (gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}', now() + interval '20 days')`,
  );
  expect((await outboxStatus(database.pool)).partitions.defaultIsUsed).toBe(true);
  await database.pool.query(`DELETE FROM outbox WHERE created_at > now() + interval '19 days'`);
});
