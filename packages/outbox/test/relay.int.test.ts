import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bucketOf } from '../src/bucket.ts';
import { createOutbox, createRelay, type Publisher } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import { outboxSql } from '../src/migrations.ts';
import { createMemoryBroker } from '../src/testing.ts';
import {
  eventFor,
  eventsFor,
  firstAppearances,
  kafkaClient,
  type OutboxDatabase,
  openTestDatabase,
  openTestTopic,
  readTopic,
  testStack,
  written,
} from './fixture.ts';
import {
  calmLease,
  fastLease,
  poll,
  poolWithDoors,
  publisherWithDoors,
  relays,
  settled,
} from './relay-fixture.ts';

let database: OutboxDatabase;
let kafkajs: Publisher;
const { start, stopAll } = relays();

beforeAll(async () => {
  database = await openTestDatabase();
  kafkajs = createKafkajsPublisher({ kafka: kafkaClient() });
});
// What earlier tests left would be read and counted here.
beforeEach(() => database.pool.query('DELETE FROM outbox'));
afterEach(stopAll);
afterAll(async () => {
  await kafkajs?.disconnect();
  await database?.close();
});

const listeners = async () => {
  const { rowCount } = await database.pool.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`,
  );
  return rowCount;
};
const untilPublished = (topic: string) => expect.poll(() => database.unpublished(topic), poll).toBe(0);

describe('the relay', () => {
  it('publishes what is committed, each key in order and once, as it was given', async () => {
    const topic = await openTestTopic('relay', { partitions: 3 });
    const events = eventsFor(topic, 300, 40);
    await database.add(events.slice(0, 100));
    const relay = await start(database.pool, kafkajs, { batchSizeMax: 7, ...calmLease });
    await database.add(events.slice(100, 200));
    await Promise.all(
      events.slice(200, 240).map((event, i) => database.add([event, events[240 + i] ?? event])),
    );
    await database.add(events.slice(280));
    await untilPublished(topic);
    const records = await readTopic(topic);
    expect(records).toHaveLength(300);
    expect(firstAppearances(records)).toEqual(written(events));
    expect(JSON.parse(String(records[0]?.value))).toEqual({ n: Number(records[0]?.headers.n) });
    expect(relay.status()).toMatchObject({ published: 300, marked: 300, fenced: 0, dropped: 0, parked: [] });
  });

  it('marks nothing before the broker acknowledges it', async () => {
    const topic = await openTestTopic('late');
    const { publisher, after } = publisherWithDoors(kafkajs);
    after.shut();
    await start(database.pool, publisher, calmLease);
    await database.add(eventsFor(topic, 20));
    await expect.poll(async () => (await readTopic(topic)).length, poll).toBe(20);
    expect(await settled(() => database.unpublished(topic))).toBe(20);
    after.open();
    await untilPublished(topic);
    expect(await readTopic(topic)).toHaveLength(20);
  });

  it('marks nothing that the broker does not acknowledge, and publishes it again', async () => {
    const topic = await openTestTopic('refused');
    const { publisher, after } = publisherWithDoors(kafkajs);
    const broken: Publisher = {
      ...publisher,
      publish: async (records) => {
        await publisher.publish(records);
        throw new Error('the answer is lost');
      },
    };
    let failing = true;
    const publish: Publisher['publish'] = (records) => (failing ? broken : publisher).publish(records);
    const relay = await start(database.pool, { ...publisher, publish }, { backoffBaseMs: 20 });
    await database.add(eventsFor(topic, 5, 1));
    await expect.poll(() => relay.status().parked[0]?.failures ?? 0, poll).toBeGreaterThan(2);
    expect(await database.unpublished(topic)).toBe(5);
    failing = false;
    await untilPublished(topic);
    expect(after.waiting()).toBe(0);
    const records = await readTopic(topic);
    expect(records.length).toBeGreaterThanOrEqual(10);
    expect(firstAppearances(records)).toEqual(new Map([['key-0', [0, 1, 2, 3, 4]]]));
  });

  it('has no transaction open while it publishes', async () => {
    const topic = await openTestTopic('open');
    const { publisher, before } = publisherWithDoors(kafkajs);
    const own = database.openPool({ application_name: 'relay-under-test' });
    before.shut();
    await start(own, publisher);
    await database.add(eventsFor(topic, 5));
    await expect.poll(before.waiting, poll).toBeGreaterThan(0);
    const open = `SELECT state FROM pg_stat_activity
                  WHERE application_name = 'relay-under-test' AND state LIKE 'idle in transaction%'`;
    expect((await database.pool.query(open)).rows).toEqual([]);
    before.open();
    await untilPublished(topic);
  });

  it('has at most one batch of a bucket in flight, of limited size', async () => {
    const topic = await openTestTopic('batch');
    const { publisher, before, given } = publisherWithDoors(kafkajs);
    before.shut();
    await start(database.pool, publisher, { batchSizeMax: 10, inFlightMax: 640, ...calmLease });
    const events = eventsFor(topic, 40, 1);
    await database.add(events);
    expect(await settled(() => given.length)).toBe(10);
    before.open();
    await untilPublished(topic);
    expect(given.map((record) => record.id)).toEqual(events.map((event) => event.id));
  });

  it('holds a limited number of events, however many wait', async () => {
    const topic = await openTestTopic('bounded');
    const { publisher, before, given } = publisherWithDoors(kafkajs);
    before.shut();
    await database.add(eventsFor(topic, 400, 200));
    const relay = await start(database.pool, publisher, { inFlightMax: 25, ...calmLease });
    expect(await settled(() => given.length)).toBe(25);
    expect(relay.status().inFlight).toBe(25);
    before.open();
    await untilPublished(topic);
    expect(firstAppearances(await readTopic(topic)).size).toBe(200);
  });

  it('a wake-up shortens the wait for the next poll', async () => {
    const topic = await openTestTopic('wake');
    const outbox = createOutbox({ pool: database.pool });
    const { pool, statements } = poolWithDoors(database.pool);
    const relay = await start(pool, kafkajs, { pollIntervalMs: 600_000, leaseDurationMs: 600_000 });
    await expect.poll(listeners, poll).toBe(1);
    await settled(statements); // from here on it only waits
    const published = () => relay.status().published;
    await database.add(eventFor(topic, 'unannounced'));
    expect(await settled(published)).toBe(0);
    outbox.wake();
    await expect.poll(published, poll).toBe(1);
    await untilPublished(topic);
    await outbox.close();
  });

  it('a wake-up that names keys makes it look into their buckets only', async () => {
    const topic = await openTestTopic('wake-key');
    const outbox = createOutbox({ pool: database.pool });
    const { pool, statements, readBuckets } = poolWithDoors(database.pool);
    const relay = await start(pool, kafkajs, { pollIntervalMs: 600_000, leaseDurationMs: 600_000 });
    await expect.poll(listeners, poll).toBe(1);
    await settled(statements);
    const event = eventFor(topic, 'announced');
    await database.add(event);
    const before = readBuckets().length;
    outbox.wake(event.key);
    await expect.poll(() => relay.status().published, poll).toBe(1);
    expect(readBuckets()[before]).toBe(`{${bucketOf(event.key)}}`);
    await untilPublished(topic);
    await outbox.close();
  });

  it('stopping finishes what is in flight, marks it, and gives the buckets back', async () => {
    const topic = await openTestTopic('drain');
    const { publisher, after } = publisherWithDoors(kafkajs);
    after.shut();
    const relay = await start(database.pool, publisher, { batchSizeMax: 5, ...calmLease });
    await database.add(eventsFor(topic, 10, 1));
    await expect.poll(after.waiting, poll).toBe(1);
    const stopped = relay.stop();
    const stoppedAgain = relay.stop().then(() => relay.status().state);
    expect(relay.isHealthy()).toBe(false);
    after.open();
    await stopped;
    expect(await stoppedAgain).toBe('stopped');
    expect(await database.unpublished(topic)).toBe(5);
    expect(relay.status()).toMatchObject({ state: 'stopped', buckets: [], inFlight: 0, leaseHolds: false });
    const { rows } = await database.pool.query(
      `SELECT (SELECT count(*) FROM outbox_relays)::int AS relays,
              (SELECT count(*) FROM outbox_buckets WHERE owner IS NOT NULL)::int AS owned`,
    );
    expect(rows).toEqual([{ relays: 0, owned: 0 }]);
  });

  it('can be started once at a time, and again after it was stopped', async () => {
    const topic = await openTestTopic('again');
    const relay = await start(database.pool, kafkajs);
    await expect(relay.start()).rejects.toMatchObject({ code: 'OUTBOX_RELAY_STARTED' });
    await relay.stop();
    await relay.start();
    await database.add(eventFor(topic, 'k'));
    await untilPublished(topic);
    expect(relay.isHealthy()).toBe(true);
    await relay.stop();
  });

  it('says what is missing, in the tables and in the options', async () => {
    const { publisher } = createMemoryBroker();
    const elsewhere = createRelay({ pool: database.pool, publisher }, { schema: 'elsewhere' });
    await expect(elsewhere.start()).rejects.toMatchObject({ code: 'OUTBOX_NOT_MIGRATED' });
    await database.pool.query(outboxSql({ schema: 'older' }));
    await database.pool.query('DROP FUNCTION older.outbox_mark');
    const newer = createRelay({ pool: database.pool, publisher }, { schema: 'older' });
    await expect(newer.start()).rejects.toMatchObject({ code: 'OUTBOX_NOT_MIGRATED' });
    expect(() => createRelay({ pool: database.pool, publisher }, { batchSizeMax: 0 })).toThrow(
      'batchSizeMax',
    );
    const marginTooLarge = { ...fastLease, leaseMarginMs: 400 };
    expect(() => createRelay({ pool: database.pool, publisher }, marginTooLarge)).toThrow('leaseMarginMs');
  });
});

describe('Test 3: Transactional Outbox', () => {
  const relayProcess = fileURLToPath(new URL('relay-process.ts', import.meta.url));

  it.each(['relay.publish.before', 'relay.publish.after', 'relay.mark.after'])(
    'a relay killed at %s: the next one publishes what is not marked, nothing is lost, order holds',
    async (point) => {
      const topic = await openTestTopic('killed', { partitions: 2 });
      const events = eventsFor(topic, 60, 6);
      await database.add(events);
      const { postgresUrl: _, kafkaBrokers } = testStack();
      const args = [relayProcess, database.url, kafkaBrokers.join(','), point];
      const [code, signal] = await once(spawn(process.execPath, args, { stdio: 'inherit' }), 'exit');
      expect([code, signal]).toEqual([null, 'SIGKILL']);
      const published = (await readTopic(topic)).length;
      expect(published > 0).toBe(point !== 'relay.publish.before');
      expect((await database.unpublished(topic)) < 60).toBe(point === 'relay.mark.after');

      await start(database.pool, kafkajs);
      await untilPublished(topic);
      const records = await readTopic(topic);
      expect(firstAppearances(records)).toEqual(written(events));
      if (point === 'relay.publish.after') expect(records.length).toBe(60 + published);
    },
  );
});
