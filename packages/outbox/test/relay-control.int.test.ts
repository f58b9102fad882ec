import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { outboxStatus, type Publisher, pauseRelays, resumeRelays } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import { cuttablePostgres } from './cuttable-postgres.ts';
import {
  eventsFor,
  firstAppearances,
  kafkaClient,
  type OutboxDatabase,
  openTestDatabase,
  openTestTopic,
  readTopic,
  uniqueName,
  written,
} from './fixture.ts';
import { calmLease, poll, poolWithDoors, publisherWithDoors, relays, untilShared } from './relay-fixture.ts';

let database: OutboxDatabase;
let kafkajs: Publisher;
const { start, stopAll } = relays();

beforeAll(async () => {
  database = await openTestDatabase();
  kafkajs = createKafkajsPublisher({ kafka: kafkaClient() });
});
afterEach(async () => {
  await stopAll();
  await resumeRelays(database.pool);
});
afterAll(async () => {
  await kafkajs?.disconnect();
  await database?.close();
});

const untilPublished = (topic: string) => expect.poll(() => database.unpublished(topic), poll).toBe(0);

/** Waits until every relay has looked at its leases several times, in which time it polls much oftener. */
async function untilAllHaveLooked(times = 4): Promise<void> {
  for (let i = 0; i < times; i++) {
    const { rows } = await database.pool.query('SELECT clock_timestamp() AS now');
    const behind = 'SELECT count(*)::int AS n FROM outbox_relays WHERE heartbeat_at <= $1';
    await expect.poll(async () => (await database.pool.query(behind, [rows[0].now])).rows[0].n, poll).toBe(0);
  }
}

describe('a pause', () => {
  it('has all relays publish nothing while events come, keep their buckets, and go on in order after it', async () => {
    const topic = await openTestTopic('paused', { partitions: 2 });
    const [first, second] = [await start(database.pool, kafkajs), await start(database.pool, kafkajs)];
    await untilShared(first, second);
    const paused = await first.pause('the broker is being moved');
    expect(paused).toEqual({ since: expect.any(Date), reason: 'the broker is being moved' });
    await expect.poll(() => [first.status().paused, second.status().paused], poll).toEqual([paused, paused]);
    const events = eventsFor(topic, 200, 100);
    await database.add(events);
    await untilAllHaveLooked();
    expect([first.status().published, second.status().published]).toEqual([0, 0]);
    await expect.poll(() => [first.isHealthy(), second.isHealthy()], poll).toEqual([true, true]);
    await untilShared(first, second);
    expect((await outboxStatus(database.pool)).backlog).toBe(200);

    expect(await second.resume()).toEqual(paused);
    await untilPublished(topic);
    const records = await readTopic(topic);
    expect(firstAppearances(records)).toEqual(written(events));
    expect(records).toHaveLength(200);
    expect([first.status().paused, second.status().paused]).toEqual([null, null]);
    expect(Math.min(first.status().published, second.status().published)).toBeGreaterThan(0);
  });

  it('lets what is being published be finished and marked, and nothing begin', async () => {
    const topic = await openTestTopic('in-flight');
    const { publisher, after, given } = publisherWithDoors(kafkajs);
    const relay = await start(database.pool, publisher);
    after.shut();
    await database.add(eventsFor(topic, 10, 1));
    await expect.poll(after.waiting, poll).toBe(1);
    await relay.pause();
    await expect.poll(() => relay.status().paused, poll).not.toBeNull();
    await database.add(eventsFor(topic, 10, 1, 10));
    after.open();
    await expect.poll(() => relay.status().marked, poll).toBe(10);
    await untilAllHaveLooked();
    expect(given).toHaveLength(10);
    expect(await database.unpublished(topic)).toBe(10);
    await relay.resume();
    await untilPublished(topic);
  });

  it('lets nothing begin that had been read already', async () => {
    const topic = await openTestTopic('read-already');
    const { pool, reads } = poolWithDoors(database.pool);
    const relay = await start(pool, kafkajs);
    reads.shut();
    await database.add(eventsFor(topic, 10, 1));
    await expect.poll(reads.waiting, poll).toBe(1);
    await pauseRelays(database.pool);
    await expect.poll(() => relay.status().paused, poll).not.toBeNull();
    reads.open();
    await expect.poll(() => relay.status().dropped, poll).toBe(10);
    expect(relay.status().published).toBe(0);
    await relay.resume();
    await untilPublished(topic);
  });

  it('in which an attempt at a topic that fails is left says nothing about the topic: it goes on waiting', async () => {
    const topic = uniqueName('left');
    const { pool, reads } = poolWithDoors(database.pool);
    const relay = await start(pool, kafkajs, { ...calmLease, backoffBaseMs: 20, backoffMaxMs: 50 });
    await database.add(eventsFor(topic, 10, 1));
    await expect.poll(() => relay.status().parked[0]?.failures ?? 0, poll).toBeGreaterThan(3);
    reads.shut();
    await expect.poll(reads.waiting, poll).toBe(1);
    const failed = relay.status().parked[0];
    await relay.pause();
    await expect.poll(() => relay.status().paused, poll).not.toBeNull();
    reads.open();
    await expect.poll(() => relay.status().dropped, poll).toBe(10);
    await expect.poll(() => relay.status().inFlight, poll).toBe(0);
    expect(relay.status().parked).toEqual([{ ...failed, retryInMs: expect.any(Number) }]);
    await relay.resume();
    await expect.poll(() => relay.status().parked[0]?.failures, poll).toBeGreaterThan(failed?.failures ?? 0);
    await relay.stop();
    await database.pool.query('UPDATE outbox SET published_at = now() WHERE topic = $1', [topic]);
  });

  it('is kept by a relay that starts in it, and by one that cannot reach the database when it starts', async () => {
    const topic = await openTestTopic('starting');
    await database.add(eventsFor(topic, 20, 10));
    await pauseRelays(database.pool, { reason: 'first' });
    expect(await pauseRelays(database.pool, { reason: 'second' })).toMatchObject({ reason: 'first' });
    const restarted = await start(database.pool, kafkajs);
    expect(restarted.status().paused).toMatchObject({ reason: 'first' });
    const postgres = await cuttablePostgres(database);
    postgres.cut();
    const late = await start(postgres.pool, kafkajs);
    postgres.heal();
    await untilShared(restarted, late);
    await untilAllHaveLooked();
    expect([restarted.status().published, late.status().published]).toEqual([0, 0]);
    await resumeRelays(database.pool);
    await untilPublished(topic);
    await late.stop();
    postgres.close();
  });

  it('reaches a relay that does not listen at its next heartbeat, and does not keep one from stopping', async () => {
    const topic = await openTestTopic('deaf');
    const relay = await start(database.pool, kafkajs, { listen: false });
    await pauseRelays(database.pool);
    await expect.poll(() => relay.status().paused, poll).not.toBeNull();
    await database.add(eventsFor(topic, 5, 1));
    await relay.stop();
    expect(relay.status().published).toBe(0);
    expect(await resumeRelays(database.pool)).not.toBeNull();
    expect(await resumeRelays(database.pool)).toBeNull();
    await start(database.pool, kafkajs);
    await untilPublished(topic);
  });
});
