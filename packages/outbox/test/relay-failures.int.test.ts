import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { bucketOf, createOutbox, createRelay, type PoolLike, type Publisher } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import { cuttablePostgres } from './cuttable-postgres.ts';
import {
  eventFor,
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
import { calmLease, fastLease, poll, publisherWithDoors, relays } from './relay-fixture.ts';

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

const untilPublished = (topic: string) => expect.poll(() => database.unpublished(topic), poll).toBe(0);

/** The codes of the errors that a relay has logged. */
function codesLogged() {
  const warn = vi.fn();
  const codes = () => warn.mock.calls.map(([{ err }]) => err?.code);
  return { logger: { debug() {}, info() {}, warn, error() {} }, codes };
}

describe('a topic that fails', () => {
  it('is tried for ever, and seen, and holds up neither other topics nor other buckets', async () => {
    const [good, missing] = [await openTestTopic('good', { partitions: 2 }), uniqueName('missing')];
    const warn = vi.fn();
    const logger = { debug() {}, info() {}, warn, error() {} };
    const relay = createRelay(
      { pool: database.pool, publisher: kafkajs, logger },
      { ...fastLease, backoffBaseMs: 20, backoffMaxMs: 100 },
    );
    await relay.start();
    // Mixed in one bucket, the missing topic first.
    const events = eventsFor(good, 100, 5);
    await database.add(events.slice(0, 50).flatMap((event) => [{ ...event, topic: missing }, event]));
    await expect.poll(() => database.unpublished(good), poll).toBe(0);
    const buckets = new Set(events.map((event) => bucketOf(event.key))).size;
    const oftenFailed = () => relay.status().parked.filter((one) => one.failures > 3).length;
    await expect.poll(oftenFailed, poll).toBe(buckets);
    await database.add(events.slice(50));
    await untilPublished(good);

    const { parked } = relay.status();
    expect(new Set(parked.map((one) => one.topic))).toEqual(new Set([missing]));
    expect(parked[0]).toMatchObject({
      lastError: expect.stringMatching(/topic/i),
      retryInMs: expect.any(Number),
    });
    expect(warn.mock.calls.some(([fields]) => fields.topic === missing && fields.err instanceof Error)).toBe(
      true,
    );
    expect(await database.unpublished(missing)).toBe(50);
    const records = await readTopic(good);
    expect(records).toHaveLength(100);
    expect(firstAppearances(records)).toEqual(written(events));
    await relay.stop();
    await database.pool.query('UPDATE outbox SET published_at = now() WHERE topic = $1', [missing]);
  });

  it('is published in order as soon as it exists', async () => {
    const topic = uniqueName('late');
    const relay = await start(database.pool, kafkajs, { backoffBaseMs: 20, backoffMaxMs: 50 });
    const events = eventsFor(topic, 40, 4);
    await database.add(events);
    await expect.poll(() => relay.status().parked.length, poll).toBeGreaterThan(0);
    const admin = kafkaClient().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: false });
    await admin.disconnect();
    await untilPublished(topic);
    await expect.poll(() => relay.status().parked, poll).toEqual([]);
    expect(firstAppearances(await readTopic(topic))).toEqual(written(events));
  });

  it('counts as failed when the publisher gives no answer; a late answer changes nothing', async () => {
    const topic = await openTestTopic('silent');
    const { publisher, after } = publisherWithDoors(kafkajs);
    after.shut();
    const { logger, codes } = codesLogged();
    const quick = { publishTimeoutMs: 100, backoffMaxMs: 100 };
    const relay = await start(database.pool, publisher, quick, logger);
    await database.add(eventsFor(topic, 5, 1));
    await expect
      .poll(() => relay.status().parked[0]?.lastError ?? '', poll)
      .toContain('no answer from the publisher within 100 ms');
    expect(codes()).toContain('OUTBOX_PUBLISH_TIMEOUT');
    expect(await database.unpublished(topic)).toBe(5);
    after.open();
    await untilPublished(topic);
    expect(firstAppearances(await readTopic(topic))).toEqual(new Map([['key-0', [0, 1, 2, 3, 4]]]));
  });

  it('a publisher that answers for too few records acknowledges none', async () => {
    const topic = uniqueName('short');
    const publisher: Publisher = { ...kafkajs, publish: async () => [{ acknowledged: true }] };
    const { logger, codes } = codesLogged();
    const relay = await start(database.pool, publisher, {}, logger);
    await database.add(eventsFor(topic, 2, 1));
    await expect
      .poll(() => relay.status().parked[0]?.lastError ?? '', poll)
      .toContain('1 results for 2 records');
    expect(codes()).toContain('OUTBOX_PUBLISHER_BROKE_CONTRACT');
    expect(await database.unpublished(topic)).toBe(2);
    await relay.stop();
    await database.pool.query('UPDATE outbox SET published_at = now() WHERE topic = $1', [topic]);
  });
});

describe('the database', () => {
  it('may be away: the relay stops publishing when its lease is over, and goes on by itself', async () => {
    const topic = await openTestTopic('away', { partitions: 2 });
    const postgres = await cuttablePostgres(database);
    const relay = await start(postgres.pool, kafkajs);
    const events = eventsFor(topic, 60, 10);
    await database.add(events.slice(0, 30));
    await untilPublished(topic);
    postgres.cut();
    await expect.poll(() => relay.isHealthy(), poll).toBe(false);
    await database.add(events.slice(30));
    postgres.heal();
    await expect.poll(() => relay.isHealthy(), poll).toBe(true);
    await untilPublished(topic);
    const records = await readTopic(topic);
    expect(records).toHaveLength(60);
    expect(firstAppearances(records)).toEqual(written(events));
    await relay.stop();
    postgres.close();
  });

  it('may be away when the relay starts', async () => {
    const postgres = await cuttablePostgres(database);
    postgres.cut();
    const relay = await start(postgres.pool, kafkajs);
    expect(relay.isHealthy()).toBe(false);
    postgres.heal();
    await expect.poll(() => relay.isHealthy(), poll).toBe(true);
    await relay.stop();
    postgres.close();
  });

  it('may close all connections: wake-ups are heard again, and acknowledged events are still marked', async () => {
    const topic = await openTestTopic('closed');
    const own = database.openPool({ application_name: 'relay-cut' });
    const { publisher, after } = publisherWithDoors(kafkajs);
    const relay = await start(own, publisher, { pollIntervalMs: 600_000, leaseDurationMs: 20_000 });
    const outbox = createOutbox({ pool: database.pool });
    const listening = async () => {
      const { rows } = await database.pool.query(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'relay-cut' AND query LIKE 'LISTEN%'`,
      );
      return rows[0]?.pid as number | undefined;
    };
    await expect.poll(listening, poll).toEqual(expect.any(Number));
    const pid = await listening();
    after.shut();
    await database.add(eventFor(topic, 'k', 1));
    outbox.wake();
    await expect.poll(after.waiting, poll).toBe(1);
    await database.pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relay-cut'`,
    );
    after.open();
    await untilPublished(topic);
    expect(await readTopic(topic)).toHaveLength(1);

    await expect.poll(async () => ![undefined, pid].includes(await listening()), poll).toBe(true);
    await expect.poll(() => relay.status().inFlight, poll).toBe(0);
    await database.add(eventFor(topic, 'k', 2));
    outbox.wake();
    await untilPublished(topic);
    await outbox.close();
  });

  it('may take a mark and lose the answer: the events count as marked, not as those of another owner', async () => {
    const topic = await openTestTopic('unanswered');
    let lost = 0;
    const query = async (text: string, values?: unknown[]) => {
      const answer = await database.pool.query(text, values);
      const isMark = text.includes('outbox_mark(') && Number(answer.rows[0]?.marked) > 0;
      if (isMark && lost++ === 0) throw new Error('Connection terminated unexpectedly');
      return answer;
    };
    const pool: PoolLike = { query, connect: () => database.pool.connect() };
    const relay = await start(pool, kafkajs, { ...calmLease, pollIntervalMs: 50 });
    await database.add(eventsFor(topic, 20, 5));
    await expect.poll(() => relay.status().marked + relay.status().fenced, poll).toBe(20);
    expect(lost).toBeGreaterThan(0);
    expect(relay.status()).toMatchObject({ published: 20, marked: 20, fenced: 0 });
    expect(await database.unpublished(topic)).toBe(0);
  });

  it('may lose the answer to a mark while the bucket goes to another owner: what became of it stays unknown', async () => {
    const topic = await openTestTopic('gone');
    let lost = 0;
    const query = async (text: string, values?: unknown[]) => {
      const answer = await database.pool.query(text, values);
      if (!text.includes('outbox_mark(') || Number(answer.rows[0]?.marked) === 0 || lost++ > 0) return answer;
      await database.pool.query('UPDATE outbox_buckets SET epoch = epoch + 1');
      throw new Error('Connection terminated unexpectedly');
    };
    const pool: PoolLike = { query, connect: () => database.pool.connect() };
    const relay = await start(pool, kafkajs, { ...calmLease, pollIntervalMs: 50 });
    await database.add(eventsFor(topic, 20, 1));
    await expect.poll(() => relay.status().marked + relay.status().fenced, poll).toBe(20);
    expect(relay.status()).toMatchObject({ published: 20, marked: 0, fenced: 20 });
  });
});
