import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  bucketOf,
  createOutbox,
  createRelay,
  outboxStatus,
  pauseRelays,
  redrive,
  resumeRelays,
} from '../src/index.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';

let database: OutboxDatabase;
beforeEach(async () => {
  database = await openTestDatabase();
});
afterEach(() => database?.close());

const threeWaiting = ['a', 'a', 'b'].map((key) => eventFor('waiting', key));

it('says that nothing waits, of no bucket', async () => {
  const status = await outboxStatus(database.pool);
  expect(status).toMatchObject({
    backlog: 0,
    backlogIsComplete: true,
    oldestUnpublishedAgeMs: null,
    oldestWritingTransactionMs: null,
    paused: null,
    blockedAggregates: 0,
    longestBlocked: [],
    setAsideTopics: [],
    isRestored: false,
  });
  expect(status.buckets).toHaveLength(64);
  expect(status.buckets[63]).toEqual({ bucket: 63, owner: null, epoch: 0, backlog: 0 });
});

it('says what waits, in which bucket, for how long, and who writes', async () => {
  await database.add(threeWaiting);
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

it('is asked for by who writes, given a pool', async () => {
  const outbox = createOutbox({ pool: database.pool });
  await database.add(threeWaiting);
  expect(await outbox.status({ countMax: 1 })).toMatchObject({ backlog: 2, backlogIsComplete: false });
  await expect(createOutbox().status()).rejects.toMatchObject({ code: 'OUTBOX_OPTION_INVALID' });
});

it('says since when the relays are paused, and why', async () => {
  const paused = await pauseRelays(database.pool, { reason: 'maintenance' });
  expect((await outboxStatus(database.pool)).paused).toEqual(paused);
  expect(Math.abs(Date.now() - paused.since.getTime())).toBeLessThan(60_000);
  await resumeRelays(database.pool);
  expect((await outboxStatus(database.pool)).paused).toBeNull();
});

it('counts no further than its limit, and says so', async () => {
  await database.add(threeWaiting);
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

it('says which aggregates wait for a dead letter', async () => {
  const unserialisable = `{"n": 1}`;
  await database.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers)
     VALUES (gen_random_uuid(), 0, 'refused', 'k', 'y', 'thing', 'bad', '{}', $1)`,
    [unserialisable],
  );
  const broker = createMemoryBroker();
  broker.createTopic('refused');
  await broker.publisher.connect();
  const relay = createRelay({ pool: database.pool, publisher: broker.publisher });
  await relay.start();
  await expect.poll(() => relay.status().deadLettered).toBe(1);
  await relay.stop();
  const bad = { aggregateType: 'thing', orderingKey: 'bad', since: expect.any(Date) };
  const status = () => outboxStatus(database.pool);
  expect(await status()).toMatchObject({
    blockedAggregates: 1,
    longestBlocked: [{ ...bad, state: 'BLOCKED' }],
  });
  await redrive(database.pool, { aggregateType: 'thing', orderingKey: 'bad' });
  expect((await status()).longestBlocked).toEqual([{ ...bad, state: 'REDRIVING' }]);
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
