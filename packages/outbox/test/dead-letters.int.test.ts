import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  bucketOf,
  createRelay,
  listDeadLetters,
  type OutboxEvent,
  type PoolLike,
  type Publisher,
  redrive,
  skip,
} from '../src/index.ts';
import { outboxNames } from '../src/postgres.ts';
import { createHeldRows } from '../src/relay/held-rows.ts';
import { createOutboxRows, type OutboxRow } from '../src/relay/outbox-rows.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventFor, type OutboxDatabase, openTestDatabase, uniqueName } from './fixture.ts';
import { excessesOf, plansOf } from './plans.ts';
import { calmLease, poll, relays, settled } from './relay-fixture.ts';

let database: OutboxDatabase;
const { start, stopAll } = relays();
beforeAll(async () => {
  database = await openTestDatabase();
});
// What earlier tests left would be tried and counted here.
beforeEach(() => database.pool.query('DELETE FROM outbox'));
afterEach(stopAll);
afterAll(() => database?.close());

const key = 'one key for all';

/** A broker that never takes events whose header says so, as long as it is not cured; with the clients' manners. */
function poisonableBroker() {
  const broker = createMemoryBroker();
  const topic = uniqueName('topic');
  broker.createTopic(topic);
  const state = { cured: false };
  const publisher: Publisher = {
    ...broker.publisher,
    async publish(records) {
      const poisoned = new Set<string>();
      const results = [];
      for (const record of records) {
        const isPoison = record.headers.poison === 'yes' && !state.cured;
        if (poisoned.has(record.key))
          results.push({ acknowledged: false as const, error: new Error('behind') });
        else if (isPoison) {
          poisoned.add(record.key);
          results.push({
            acknowledged: false as const,
            error: new Error('too large'),
            permanent: true as const,
          });
        } else results.push(...(await broker.publisher.publish([record])));
      }
      return results as Awaited<ReturnType<Publisher['publish']>>;
    },
  };
  /** What is on the topic of an aggregate, by number, in order. */
  const published = (aggregateId: string) =>
    broker
      .read(topic)
      .filter((record) => record.headers.aggregate === aggregateId)
      .map((record) => Number(record.headers.n));
  const event = (aggregateId: string, n: number, more: Record<string, string> = {}): OutboxEvent =>
    eventFor(topic, key, n, {
      orderingKey: aggregateId,
      headers: { n: String(n), aggregate: aggregateId, ...more },
    });
  const poison = (aggregateId: string, n: number) => event(aggregateId, n, { poison: 'yes' });
  return { publisher, topic, state, published, event, poison };
}

async function connected() {
  const broker = poisonableBroker();
  await broker.publisher.connect();
  return broker;
}

const deadLettersOf = async (aggregateId: string) =>
  (await listDeadLetters(database.pool)).filter((one) => one.orderingKey === aggregateId);
const names = () => [uniqueName('bad'), uniqueName('good')] as const;

describe('an event that the broker will never take', () => {
  it('blocks its aggregate, in order, and no other of the same bucket, key and batch', async () => {
    const [bad, good] = names();
    const { publisher, topic, published, event, poison } = await connected();
    await database.add([event(good, 1), event(bad, 1), poison(bad, 2), event(bad, 3), event(good, 2)]);
    const relay = await start(database.pool, publisher, calmLease);
    await expect.poll(() => published(good), poll).toEqual([1, 2]);
    await database.add([event(bad, 4), event(good, 3)]);
    await expect.poll(() => published(good), poll).toEqual([1, 2, 3]);
    await expect.poll(() => database.count(`held_at IS NOT NULL AND topic = '${topic}'`), poll).toBe(3);
    expect(published(bad)).toEqual([1]);
    await expect.poll(() => database.unpublished(topic), poll).toBe(3);
    expect(await deadLettersOf(bad)).toMatchObject([
      {
        topic,
        key,
        state: 'DEAD',
        blocks: true,
        reason: 'too large',
        attempts: 1,
        failedAt: expect.any(Date),
      },
    ]);
    expect(relay.status()).toMatchObject({ deadLettered: 1, parked: [] });
  });

  it('is redriven in order: itself, then what waited, then what was written meanwhile', async () => {
    const [bad] = names();
    const { publisher, topic, state, published, event, poison } = await connected();
    await database.add([poison(bad, 1), ...Array.from({ length: 50 }, (_, i) => event(bad, i + 2))]);
    await start(database.pool, publisher, { batchSizeMax: 7, ...calmLease });
    await expect.poll(() => database.count(`held_at IS NOT NULL AND topic = '${topic}'`), poll).toBe(51);
    state.cured = true;
    const writing = (async () => {
      for (let n = 52; n <= 90; n++) await database.add(event(bad, n));
    })();
    await redrive(database.pool, { aggregateType: 'thing', orderingKey: bad }, { reason: 'topic enlarged' });
    await writing;
    await expect.poll(() => database.unpublished(topic), poll).toBe(0);
    expect(published(bad)).toEqual(Array.from({ length: 90 }, (_, i) => i + 1));
    const blocked = `SELECT FROM outbox_blocked WHERE aggregateid = $1`;
    await expect.poll(async () => (await database.pool.query(blocked, [bad])).rowCount, poll).toBe(0);
    await database.add(event(bad, 91));
    await expect.poll(() => published(bad).at(-1), poll).toBe(91);
    const { rows } = await database.pool.query(
      'SELECT state, history FROM outbox_dead_letters WHERE aggregateid = $1',
      [bad],
    );
    expect(rows).toMatchObject([
      {
        state: 'REDRIVEN',
        history: [{ action: 'REDRIVEN', reason: 'topic enlarged', at: expect.any(String) }],
      },
    ]);
  });

  it('is a dead letter again when it is refused again, counted and kept in the history', async () => {
    const [bad] = names();
    const { publisher, topic, published, event, poison } = await connected();
    await database.add([poison(bad, 1), event(bad, 2)]);
    await start(database.pool, publisher, calmLease);
    await expect.poll(() => deadLettersOf(bad), poll).toHaveLength(1);
    const [letter] = await deadLettersOf(bad);
    await redrive(database.pool, { id: letter?.id ?? 0 });
    await expect.poll(async () => (await deadLettersOf(bad))[0]?.attempts, poll).toBe(2);
    const [again] = await deadLettersOf(bad);
    expect(again?.history.map(({ action }) => action)).toEqual(['REDRIVEN', 'FAILED']);
    expect(published(bad)).toEqual([]);
    expect(await database.unpublished(topic)).toBe(2);
  });

  it('can be given up with a reason: its aggregate goes on without it', async () => {
    const [bad] = names();
    const { publisher, topic, published, event, poison } = await connected();
    await database.add([poison(bad, 1), event(bad, 2), event(bad, 3)]);
    await start(database.pool, publisher, calmLease);
    await expect.poll(() => deadLettersOf(bad), poll).toHaveLength(1);
    const [letter] = await deadLettersOf(bad);
    const skipped = await skip(database.pool, letter?.id ?? 0, 'nobody reads it');
    expect(skipped).toMatchObject({ state: 'SKIPPED', history: [{ reason: 'nobody reads it' }] });
    await expect.poll(() => published(bad), poll).toEqual([2, 3]);
    await expect.poll(() => database.unpublished(topic), poll).toBe(0);
    await expect(skip(database.pool, letter?.id ?? 0, 'again')).rejects.toMatchObject({
      code: 'OUTBOX_DEAD_LETTER_UNKNOWN',
    });
  });

  it('may be of an aggregate with the longest name that there can be', async () => {
    const { publisher, published, event, poison } = await connected();
    // Random, so that no index entry gets smaller by compression.
    const longest = () => randomBytes(500).toString('hex');
    const [bad, aggregateType] = [longest(), longest()];
    await database.add([
      { ...poison(bad, 1), aggregateType },
      { ...event(bad, 2), aggregateType },
    ]);
    await start(database.pool, publisher, calmLease);
    await expect.poll(() => deadLettersOf(bad), poll).toHaveLength(1);
    const [letter] = await deadLettersOf(bad);
    await skip(database.pool, letter?.id ?? 0, 'too long to say');
    await expect.poll(() => published(bad), poll).toEqual([2]);
  });

  it('is passed over with onPoison: skip, kept as a dead letter, and can be redriven', async () => {
    const [bad] = names();
    const { publisher, topic, state, published, event, poison } = await connected();
    await database.add([event(bad, 1), poison(bad, 2), event(bad, 3)]);
    await start(database.pool, publisher, { onPoison: 'skip', ...calmLease });
    await expect.poll(() => published(bad), poll).toEqual([1, 3]);
    await expect.poll(() => database.unpublished(topic), poll).toBe(1);
    state.cured = true;
    await redrive(database.pool, { aggregateType: 'thing', orderingKey: bad });
    await expect.poll(() => published(bad), poll).toEqual([1, 3, 2]);
    await expect.poll(() => database.unpublished(topic), poll).toBe(0);
  });

  it('keeps its aggregate blocked when another one is redriven in the moment in which it becomes a dead letter', async () => {
    const [bad] = names();
    const topic = uniqueName('topic');
    await database.add([1, 2].map((n) => eventFor(topic, key, n, { orderingKey: bad })));
    await database.pool.query(`INSERT INTO outbox_relays VALUES ($1, now(), now())`, [bad]);
    await database.pool.query(`UPDATE outbox_buckets SET owner = $1`, [bad]);
    const request = { bucket: bucketOf(key), topics: [topic], only: true };
    const { rows } = await createOutboxRows(database.pool, outboxNames(), bad).read([request], 10, 10);
    const bury = (row: OutboxRow | undefined, connection: unknown) =>
      createHeldRows(connection as PoolLike, outboxNames(), bad).bury(
        row === undefined ? [] : [{ row, error: new Error('too large') }],
        true,
      );
    expect(await bury(rows[0], database.pool)).toBe(1);
    const client = await database.pool.connect();
    await client.query('BEGIN');
    expect(await bury(rows[1], client)).toBe(1);
    const [first] = await deadLettersOf(bad);
    const redriving = redrive(database.pool, { id: first?.id ?? 0 });
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await expect.poll(async () => (await database.pool.query(waiting)).rowCount, poll).toBe(1);
    await client.query('COMMIT');
    client.release();
    await redriving;
    const { rows: blocked } = await database.pool.query(
      'SELECT state FROM outbox_blocked WHERE aggregateid = $1',
      [bad],
    );
    expect(blocked).toEqual([{ state: 'BLOCKED' }]);
    await database.pool.query('DELETE FROM outbox_relays WHERE id = $1', [bad]);
    await database.pool.query('UPDATE outbox SET published_at = now() WHERE topic = $1', [topic]);
  });

  it('a redrive in a transaction that rolls back has not happened', async () => {
    const [bad] = names();
    const { publisher, topic, state, published, poison } = await connected();
    await database.add(poison(bad, 1));
    await start(database.pool, publisher, calmLease);
    await expect.poll(() => deadLettersOf(bad), poll).toHaveLength(1);
    state.cured = true;
    const client = await database.pool.connect();
    await client.query('BEGIN');
    await redrive(client, { aggregateType: 'thing', orderingKey: bad });
    await client.query('ROLLBACK');
    client.release();
    await settled(() => database.unpublished(topic));
    expect(published(bad)).toEqual([]);
    expect(await deadLettersOf(bad)).toHaveLength(1);
  });
});

it('an option that does not exist is refused', () => {
  const onPoison = 'ignore' as 'skip';
  expect(() => createRelay({ pool: database.pool, publisher: {} as Publisher }, { onPoison })).toThrow(
    expect.objectContaining({ code: 'OUTBOX_OPTION_INVALID' }),
  );
});

it('50,000 rows behind one blocked aggregate leave the hot read and slow no other of their bucket', async () => {
  const [bad, good] = names();
  const { publisher, topic, published, event, poison } = await connected();
  await database.add(poison(bad, 0));
  await database.pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers)
     SELECT gen_random_uuid(), $1, $2, $3, 't', 'thing', $4, '{}', jsonb_build_object('n', n::text, 'aggregate', $4::text)
     FROM generate_series(1, 50000) n`,
    [bucketOf(key), topic, key, bad],
  );
  await database.add(event(good, 1));
  const relay = await start(database.pool, publisher, { batchSizeMax: 500, ...calmLease });
  await expect.poll(() => published(good), { timeout: 60_000, interval: 50 }).toEqual([1]);
  const hot = () => database.count(`held_at IS NULL AND published_at IS NULL AND topic = '${topic}'`);
  await expect.poll(hot, poll).toBe(0);
  expect(await database.count(`held_at IS NOT NULL AND topic = '${topic}'`)).toBe(50_001);
  expect(published(bad)).toEqual([]);
  expect(relay.status().inFlight).toBeLessThanOrEqual(500);
  await relay.stop();
  await database.pool.query('VACUUM ANALYZE outbox');
  await database.add(event(good, 2));
  await database.pool.query(`INSERT INTO outbox_relays VALUES ('reader', now(), now())`);
  await database.pool.query(`UPDATE outbox_buckets SET owner = 'reader'`);
  let found: readonly unknown[] = [];
  const plans = await plansOf(database.pool, async (pool) => {
    const request = { bucket: bucketOf(key), topics: [], only: false };
    ({ rows: found } = await createOutboxRows(pool, outboxNames(), 'reader').read([request], 500, 500));
  });
  expect(found).toHaveLength(1);
  expect(excessesOf(plans, 1)).toEqual([]);
});
