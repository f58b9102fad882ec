import { type OwnServer, startOwnKafka, startOwnPostgres } from '@orders/dev-stack/own-servers';
import { Producer } from '@platformatic/kafka';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { createOutbox, type OutboxEvent, type Publisher, type Relay } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import { outboxSql } from '../src/migrations.ts';
import { createPlatformaticPublisher } from '../src/platformatic.ts';
import { eventsFor, firstAppearances, readTopic, uniqueName, written } from './fixture.ts';
import { poll, relays } from './relay-fixture.ts';

// Servers of this file's own. Both publishers live through the same outages.
let postgres: OwnServer & { url: string };
let kafka: OwnServer & { brokers: string[] };
let sides: Side[] = [];
const pools: pg.Pool[] = [];
const { start, stopAll } = relays();

/** An outbox in a schema of its own, and the publisher that its relay uses. */
interface Side {
  readonly schema: string;
  readonly publisher: Publisher;
  readonly pool: pg.Pool;
}

const client = (retries = 5) =>
  new Kafka({
    brokers: kafka.brokers,
    logLevel: logLevel.NOTHING,
    retry: { retries, initialRetryTime: 50, maxRetryTime: 200 },
  });

function openPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: postgres.url, max: 5, connectionTimeoutMillis: 1_000 });
  pool.on('error', () => undefined);
  pool.on('connect', (connection) => connection.on('error', () => undefined));
  pools.push(pool);
  return pool;
}

beforeAll(async () => {
  [postgres, kafka] = await Promise.all([startOwnPostgres(), startOwnKafka()]);
  const bootstrapBrokers = kafka.brokers;
  const createProducer = () => new Producer({ clientId: 'outages', bootstrapBrokers, retries: 0 });
  sides = [
    { schema: 'kafkajs', publisher: createKafkajsPublisher({ kafka: client(1) }), pool: openPool() },
    { schema: 'platformatic', publisher: createPlatformaticPublisher({ createProducer }), pool: openPool() },
  ];
  for (const { schema, pool } of sides) await pool.query(outboxSql({ schema }));
});
afterEach(stopAll);
afterAll(async () => {
  await Promise.all(sides.map(({ publisher }) => publisher.disconnect()));
  await Promise.all(pools.map((pool) => pool.end()));
  await Promise.all([postgres?.close(), kafka?.close()]);
});

/** A relay for a side, and what is said of it. */
async function run({ schema, publisher, pool }: Side) {
  const topic = uniqueName(schema);
  const admin = client().admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false });
  await admin.disconnect();
  const outbox = createOutbox({ schema });
  const all: OutboxEvent[] = [];
  const relay: Relay = await start(openPool(), publisher, { schema, backoffMaxMs: 500 });
  async function add(): Promise<void> {
    const events = eventsFor(topic, 100, 20, all.length);
    const connection = await pool.connect();
    await connection.query('BEGIN');
    await outbox.add(connection, events);
    await connection.query('COMMIT');
    connection.release();
    all.push(...events);
  }
  async function untilPublished(): Promise<void> {
    const unpublished = async () => {
      const { rows } = await pool.query(
        `SELECT count(*)::int AS n FROM ${schema}.outbox WHERE published_at IS NULL`,
      );
      return rows[0].n;
    };
    await expect.poll(unpublished, { ...poll, timeout: 30_000 }).toBe(0);
  }
  async function expectNothingLost(): Promise<void> {
    expect(firstAppearances(await readTopic(topic, client()))).toEqual(written(all));
  }
  return { relay, add, untilPublished, expectNothingLost };
}

const each = <T, R>(all: readonly T[], what: (one: T) => Promise<R>): Promise<R[]> =>
  Promise.all(all.map(what));

it('a broker that is away and comes back: with each publisher the relay goes on by itself and loses nothing', async () => {
  const running = await each(sides, run);
  await each(running, (one) => one.add());
  await each(running, (one) => one.untilPublished());
  await kafka.stop(); // in order: one that was killed is kept waiting by Kafka; the soak does that
  await each(running, (one) => one.add());
  for (const { relay } of running) {
    await expect.poll(() => relay.status().parked.length, poll).toBeGreaterThan(0);
    await expect.poll(() => relay.isHealthy(), poll).toBe(true);
  }
  await kafka.start();
  await each(running, (one) => one.add());
  await each(running, (one) => one.untilPublished());
  await each(running, (one) => one.expectNothingLost());
});

it('PostgreSQL that crashes under the relay and comes back: it goes on by itself and loses nothing', async () => {
  const running = await each(sides, run);
  await each(running, (one) => one.add());
  await each(running, (one) => one.untilPublished());
  await each(running, (one) => one.add());
  await postgres.kill();
  for (const { relay } of running) await expect.poll(() => relay.isHealthy(), poll).toBe(false);
  await postgres.start();
  for (const { relay } of running) await expect.poll(() => relay.isHealthy(), poll).toBe(true);
  await each(running, (one) => one.add());
  await each(running, (one) => one.untilPublished());
  await each(running, (one) => one.expectNothingLost());
});
