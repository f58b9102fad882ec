import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PoolLike, Publisher, Relay } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import {
  eventsFor,
  firstAppearances,
  kafkaClient,
  type OutboxDatabase,
  openTestDatabase,
  openTestTopic,
  readTopic,
  written,
} from './fixture.ts';
import { poll, poolWithDoors, publisherWithDoors, relays, untilShared } from './relay-fixture.ts';

let database: OutboxDatabase;
let kafkajs: Publisher;
const { start, stopAll } = relays();

beforeAll(async () => {
  database = await openTestDatabase();
  kafkajs = createKafkajsPublisher({ kafka: kafkaClient() });
});
afterEach(stopAll);
afterAll(async () => {
  await kafkajs?.disconnect();
  await database?.close();
});

/** What a machine that tests many packages at once may add to any time. */
const busyMachineMs = 1_500;

const untilPublished = (topic: string) => expect.poll(() => database.unpublished(topic), poll).toBe(0);
const untilOwnsAll = (relay: Relay) => expect.poll(() => relay.status().buckets.length, poll).toBe(64);
const epochs = async () => {
  const { rows } = await database.pool.query('SELECT epoch FROM outbox_buckets ORDER BY bucket');
  return rows.map((row) => row.epoch as number);
};

describe('several relays', () => {
  it('share the buckets fairly, and again when one comes or goes', async () => {
    const first = await start(database.pool, kafkajs);
    await untilShared(first);
    const second = await start(database.pool, kafkajs);
    await untilShared(first, second);
    const third = await start(database.pool, kafkajs);
    await untilShared(first, second, third);
    await first.stop();
    await untilShared(second, third);
  });

  it('publish every event once, each key in order, while they come and go: only owned buckets are read', async () => {
    const topic = await openTestTopic('shared', { partitions: 3 });
    const events = eventsFor(topic, 1200, 100);
    const first = await start(database.pool, kafkajs, { batchSizeMax: 5 });
    await database.add(events.slice(0, 400));
    const second = await start(database.pool, kafkajs, { batchSizeMax: 5 });
    await database.add(events.slice(400, 800));
    await untilShared(first, second);
    await database.add(events.slice(800));
    await first.stop();
    await untilPublished(topic);
    const records = await readTopic(topic);
    expect(firstAppearances(records)).toEqual(written(events));
    expect(records).toHaveLength(1200);
    expect(first.status().published + second.status().published).toBe(1200);
    expect(second.status().published).toBeGreaterThan(0);
  });

  it('hand a bucket over only when nothing of it is in flight', async () => {
    const topic = await openTestTopic('handover', { partitions: 2 });
    const slow = publisherWithDoors(kafkajs);
    const first = await start(database.pool, slow.publisher, { batchSizeMax: 3 });
    slow.after.shut();
    const events = eventsFor(topic, 600, 100);
    await database.add(events);
    await expect.poll(() => first.status().inFlight, poll).toBeGreaterThan(100);

    const second = await start(database.pool, kafkajs, { batchSizeMax: 3 });
    const idle = 64 - new Set(await bucketsInFlight(topic)).size;
    await expect.poll(() => second.status().buckets.length, poll).toBeGreaterThanOrEqual(idle);
    expect(second.status().buckets).toHaveLength(idle);
    expect(second.status().published).toBe(0);
    slow.after.open();
    await untilShared(first, second);
    await untilPublished(topic);
    const records = await readTopic(topic);
    expect(records).toHaveLength(600);
    expect(firstAppearances(records)).toEqual(written(events));
    expect(second.status().published).toBeGreaterThan(0);
    expect([first.status().fenced, second.status().fenced]).toEqual([0, 0]);
  });

  const bucketsInFlight = async (topic: string) => {
    const { rows } = await database.pool.query('SELECT DISTINCT bucket FROM outbox WHERE topic = $1', [
      topic,
    ]);
    return rows.map((row) => row.bucket);
  };
});

describe('a relay that stands still', () => {
  it('loses its buckets when its lease has run out, under a higher epoch', async () => {
    const dead = poolWithDoors(database.pool);
    const first = await start(dead.pool, kafkajs);
    await untilOwnsAll(first);
    const before = await epochs();
    dead.heartbeats.shut();
    const second = await start(database.pool, kafkajs);
    await untilOwnsAll(second);
    expect((await epochs()).map((epoch, bucket) => epoch > (before[bucket] ?? 0))).toEqual(
      Array(64).fill(true),
    );
    expect(first.isHealthy()).toBe(false);
    dead.heartbeats.open();
    await untilShared(first, second);
  });

  it('loses them within a lease and a quarter of its last heartbeat, as the README says, and not sooner', async () => {
    const leaseDurationMs = 2_000;
    const dead = poolWithDoors(database.pool);
    const first = await start(dead.pool, kafkajs, { leaseDurationMs });
    const second = await start(database.pool, kafkajs, { leaseDurationMs });
    await untilShared(first, second);
    dead.heartbeats.shut();
    const {
      rows: [last],
    } = await database.pool.query(`SELECT heartbeat_at AS at FROM outbox_relays WHERE id = $1`, [
      first.status().relayId,
    ]);
    await untilOwnsAll(second);
    const {
      rows: [taken],
    } = await database.pool.query(
      'SELECT (extract(epoch FROM clock_timestamp() - $1::timestamptz) * 1000)::float8 AS ms',
      [last.at],
    );
    expect(taken.ms).toBeGreaterThanOrEqual(leaseDurationMs);
    expect(taken.ms).toBeLessThan(leaseDurationMs * 1.25 + busyMachineMs);
    dead.heartbeats.open();
    await untilShared(first, second);
  });

  it('cannot mark what it published under an old epoch', async () => {
    const topic = await openTestTopic('stale');
    const stalled = poolWithDoors(database.pool);
    const ofFirst = publisherWithDoors(kafkajs);
    const ofSecond = publisherWithDoors(kafkajs);
    const first = await start(stalled.pool, ofFirst.publisher);
    await untilOwnsAll(first);
    ofFirst.after.shut();
    ofSecond.before.shut();
    const events = eventsFor(topic, 30, 10);
    await database.add(events);
    await expect.poll(async () => (await readTopic(topic)).length, poll).toBe(30);
    stalled.heartbeats.shut();
    const second = await start(database.pool, ofSecond.publisher);
    await untilOwnsAll(second);

    ofFirst.after.open(); // the acknowledgement comes when the buckets have another owner
    await expect.poll(() => first.status().inFlight, poll).toBe(0);
    expect(await database.unpublished(topic)).toBe(30);
    expect(first.status()).toMatchObject({ published: 30, marked: 0, fenced: 30 });

    ofSecond.before.open();
    await untilPublished(topic);
    expect(firstAppearances(await readTopic(topic))).toEqual(written(events));
    stalled.heartbeats.open();
  });

  it('does not publish what it had read before its lease ran out', async () => {
    const topic = await openTestTopic('stalled');
    const stalled = poolWithDoors(database.pool);
    const ofFirst = publisherWithDoors(kafkajs);
    const first = await start(stalled.pool, ofFirst.publisher);
    await untilOwnsAll(first);
    stalled.reads.shut();
    const events = eventsFor(topic, 30, 10);
    await database.add(events);
    await expect.poll(stalled.reads.waiting, poll).toBe(1);
    stalled.heartbeats.shut();
    const second = await start(database.pool, kafkajs);
    await untilPublished(topic);

    stalled.reads.open();
    await expect.poll(() => first.status().dropped + ofFirst.given.length, poll).toBe(30);
    expect(ofFirst.given).toEqual([]);
    stalled.heartbeats.open();
    await untilShared(first, second);
    const records = await readTopic(topic);
    expect(records).toHaveLength(30);
    expect(firstAppearances(records)).toEqual(written(events));
  });
});

describe('a registration whose answer is lost', () => {
  /** Commits the first registrations, and says that the connection is gone. */
  function losingRegistrations(count: number): PoolLike & { lost(): number } {
    let lost = 0;
    return {
      connect: () => database.pool.connect(),
      lost: () => lost,
      async query(text, values) {
        const answer = await database.pool.query(text, values);
        if (lost >= count || !/INSERT INTO \S*outbox_relays/.test(text)) return answer;
        lost += 1;
        throw new Error('Connection terminated unexpectedly');
      },
    };
  }
  const relaysThere = async () => (await database.pool.query('SELECT id FROM outbox_relays')).rows.length;

  it('is repeated: the relay goes on by itself, long before that lease ends', async () => {
    const topic = await openTestTopic('lost-answer');
    const pool = losingRegistrations(2);
    const relay = await start(pool, kafkajs, { leaseDurationMs: 600_000, pollIntervalMs: 50 });
    const events = eventsFor(topic, 10, 5);
    await database.add(events);
    await untilPublished(topic);
    expect(pool.lost()).toBe(2);
    expect(await relaysThere()).toBe(1);
    await relay.stop();
    expect(await relaysThere()).toBe(0);
  });

  it('leaves nothing behind when the relay stops before it is repeated', async () => {
    const pool = losingRegistrations(Number.POSITIVE_INFINITY);
    const relay = await start(pool, kafkajs, { leaseDurationMs: 600_000 });
    await expect.poll(pool.lost, poll).toBeGreaterThan(0);
    expect(await relaysThere()).toBe(1);
    await relay.stop();
    expect(await relaysThere()).toBe(0);
  });
});
