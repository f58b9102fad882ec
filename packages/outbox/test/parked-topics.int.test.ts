import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { bucketOf, outboxStatus, type PoolLike, type Publisher, redrive } from '../src/index.ts';
import { outboxNames } from '../src/postgres.ts';
import { createHeldRows } from '../src/relay/held-rows.ts';
import { createOutboxRows } from '../src/relay/outbox-rows.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor, type OutboxDatabase, openTestDatabase, uniqueName } from './fixture.ts';
import { excessesOf, plansOf } from './plans.ts';
import { poll, relays } from './relay-fixture.ts';

let database: OutboxDatabase;
const { start, stopAll } = relays();
beforeAll(async () => {
  database = await openTestDatabase();
});
afterEach(stopAll);
afterAll(() => database?.close());

const key = 'one key for all';
const quickRetries = { backoffBaseMs: 5, backoffMaxMs: 20, drainTimeoutMs: 5_000 };

async function brokerWith(topic: string) {
  const broker = createMemoryBroker();
  broker.createTopic(topic);
  await broker.publisher.connect();
  const numbers = (of: string) => broker.read(of).map((record) => Number(record.headers.n));
  return { ...broker, numbers };
}

/** Rows of one bucket, of 100 aggregates, numbered. */
const write = (topic: string, count: number, from = 0) =>
  database.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers)
     SELECT gen_random_uuid(), $1, $2, $3, 't', 'thing', 'a-' || n % 100, '{}', jsonb_build_object('n', n::text)
     FROM generate_series($4::int, $4::int + $5::int - 1) n`,
    [bucketOf(key), topic, key, from, count],
  );

const hot = (topic: string) =>
  database.count(`topic = '${topic}' AND published_at IS NULL AND held_at IS NULL`);

/** Others go on, now and then. */
async function goOn(topic: string, until: () => Promise<boolean>): Promise<void> {
  for (let n = 0; !(await until()); n += 1) await database.add(eventFor(topic, key, n));
}

it('50,000 rows of a missing topic slow no other of their bucket, and are published in order once it exists', async () => {
  const [good, missing] = [uniqueName('good'), uniqueName('missing')];
  const broker = await brokerWith(good);
  await write(missing, 50_000);
  const relay = await start(database.pool, broker.publisher, quickRetries);
  await goOn(good, async () => (await hot(missing)) === 0);
  await expect.poll(() => database.unpublished(good), poll).toBe(0);
  expect(relay.status().parked).toMatchObject([{ topic: missing, bucket: bucketOf(key) }]);
  expect(await outboxStatus(database.pool)).toMatchObject({
    backlog: 1_000, // counted up to the limit, held rows too
    setAsideTopics: [{ topic: missing, buckets: 1, since: expect.any(Date) }],
  });
  await relay.stop();

  // What a poll of the bucket looks at now, for another owner who knows nothing yet.
  await database.add(eventFor(good, key, 0));
  await database.pool.query(`INSERT INTO outbox_relays VALUES ('reader', now(), now())`);
  await database.pool.query(`UPDATE outbox_buckets SET owner = 'reader'`);
  let found = 0;
  const plans = await plansOf(database.pool, async (pool) => {
    const request = { bucket: bucketOf(key), topics: [], only: false };
    found = (await createOutboxRows(pool, outboxNames(), 'reader').read([request], 500, 500)).rows.length;
  });
  expect(found).toBe(1);
  expect(excessesOf(plans, 1)).toEqual([]);

  await write(missing, 100, 50_000);
  broker.createTopic(missing);
  await start(database.pool, broker.publisher, quickRetries);
  await expect.poll(() => database.unpublished(missing), { timeout: 60_000, interval: 100 }).toBe(0);
  expect(broker.numbers(missing)).toEqual(Array.from({ length: 50_100 }, (_, n) => n));
  await expect
    .poll(() => database.pool.query('SELECT FROM outbox_parked'), poll)
    .toMatchObject({ rowCount: 0 });
});

it('events written while a topic comes back stay behind those that were set aside', async () => {
  const [good, late] = [uniqueName('good'), uniqueName('late')];
  const broker = await brokerWith(good);
  await write(late, 300);
  const relay = await start(database.pool, broker.publisher, { ...quickRetries, batchSizeMax: 7 });
  await goOn(good, async () => (await hot(late)) === 0);
  broker.createTopic(late);
  for (let n = 300; n < 400; n += 1) await write(late, 1, n);
  await expect.poll(() => database.unpublished(late), poll).toBe(0);
  expect(broker.numbers(late)).toEqual(Array.from({ length: 400 }, (_, n) => n));
  await expect.poll(() => relay.status().parked, poll).toEqual([]);
});

it('an aggregate that is redriven waits for its events of a missing topic, and others go out', async () => {
  const [good, late, bad] = [uniqueName('good'), uniqueName('late'), uniqueName('bad')];
  const broker = await brokerWith(good);
  const state = { cured: false };
  const refused = { acknowledged: false as const, error: new Error('refused'), permanent: true as const };
  const publisher: Publisher = {
    ...broker.publisher,
    async publish(records) {
      const poison = state.cured ? -1 : records.findIndex((record) => record.headers.poison === 'yes');
      if (poison < 0) return broker.publisher.publish(records);
      const behind = records
        .slice(poison + 1)
        .map(() => ({ acknowledged: false as const, error: new Error('behind') }));
      return [...(await broker.publisher.publish(records.slice(0, poison))), refused, ...behind];
    },
  };
  const of = (topic: string, n: number, more: Record<string, string> = {}) =>
    eventFor(topic, key, n, { orderingKey: bad, headers: { n: String(n), ...more } });
  await write(late, 20);
  await start(database.pool, publisher, quickRetries);
  await goOn(good, async () => (await hot(late)) === 0);
  await database.add([
    of(late, 20),
    of(good, 1_000_000, { poison: 'yes' }),
    of(late, 21),
    of(good, 1_000_001),
  ]);
  await expect.poll(() => database.count(`aggregateid = '${bad}' AND held_at IS NOT NULL`), poll).toBe(4);
  state.cured = true;
  await redrive(database.pool, { aggregateType: 'thing', orderingKey: bad });
  await expect
    .poll(() => broker.numbers(good).filter((n) => n >= 1_000_000), poll)
    .toEqual([1_000_000, 1_000_001]);
  expect(await database.unpublished(late)).toBe(22);
  broker.createTopic(late);
  await expect.poll(() => database.unpublished(late), poll).toBe(0);
  expect(broker.numbers(late).filter((n) => n >= 20)).toEqual([20, 21]);
});

it('a backlog whose topics all fail, as when the broker is away, is read a small part of the time, and published afterwards', async () => {
  const topic = uniqueName('away');
  const broker = createMemoryBroker();
  await database.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload)
     SELECT gen_random_uuid(), n % 64, $1, 'key-' || n % 64, 't', 'thing', 'a', '{}' FROM generate_series(1, 60000) n`,
    [topic],
  );
  const pool = database.openPool();
  let readMs = 0;
  const timed: PoolLike = {
    connect: () => pool.connect(),
    async query(text, values) {
      const startMs = performance.now();
      const answer = await pool.query(text, values);
      if (text.includes('outbox_read(')) readMs += performance.now() - startMs;
      return answer;
    },
  };
  const relay = await start(timed, broker.publisher, { backoffMaxMs: 60_000, pollIntervalMs: 20 });
  const failures = () => Math.min(...relay.status().parked.map((one) => one.failures));
  await expect.poll(() => relay.status().parked.length, poll).toBe(64);
  await expect.poll(failures, { timeout: 60_000, interval: 20 }).toBeGreaterThanOrEqual(4);
  const [fromMs, readBeforeMs] = [performance.now(), readMs];
  await sleep(3_000);
  expect((readMs - readBeforeMs) / (performance.now() - fromMs)).toBeLessThan(0.5);
  expect(await database.unpublished(topic)).toBe(60_000);
  await relay.stop();

  broker.createTopic(topic);
  await start(database.pool, broker.publisher, quickRetries);
  await expect.poll(() => database.unpublished(topic), { timeout: 60_000, interval: 100 }).toBe(0);
});

it('a blocked aggregate keeps its order in a topic that a read passed over: nothing of it is moved before what stands before it', async () => {
  const [well, fails] = [uniqueName('well'), uniqueName('fails')];
  const of = (topic: string, n: number) => eventFor(topic, key, n, { orderingKey: 'blocked' });
  await database.add([of(fails, 1), of(well, 2), of(fails, 3), of(well, 4)]);
  await database.pool.query(`INSERT INTO outbox_relays VALUES ('mover', now(), now())`);
  await database.pool.query(`UPDATE outbox_buckets SET owner = 'mover'`);
  await database.pool.query(`INSERT INTO outbox_blocked VALUES ($1, 'thing', 'blocked', 'BLOCKED')`, [
    bucketOf(key),
  ]);
  const passingOver = { bucket: bucketOf(key), topics: [fails], only: false };
  const { read } = createOutboxRows(database.pool, outboxNames(), 'mover');
  const { rows } = await read([passingOver], 100, 100);
  expect(rows.map(({ record, blocked }) => [record.headers.n, blocked])).toEqual([
    ['2', true],
    ['4', true],
  ]);
  await createHeldRows(database.pool, outboxNames(), 'mover').moveOut(rows);
  const { rows: held } = await database.pool.query(
    `SELECT headers ->> 'n' AS n, held_at IS NOT NULL AS held FROM outbox WHERE aggregateid = 'blocked' ORDER BY seq`,
  );
  expect(held.map((row) => [row.n, row.held])).toEqual([
    ['1', false],
    ['2', true],
    ['3', false],
    ['4', true],
  ]);
  await database.pool.query(`UPDATE outbox SET published_at = now() WHERE aggregateid = 'blocked'`);
  await database.pool.query(`DELETE FROM outbox_blocked WHERE aggregateid = 'blocked'`);
});
