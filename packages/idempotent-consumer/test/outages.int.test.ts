import { type OwnServer, startOwnKafka, startOwnPostgres } from '@orders/dev-stack/own-servers';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Consumer, createConsumer, type RecordSource } from '../src/index.ts';
import { bothSources, type SourceOptions } from './both-sources.ts';
import {
  type CountEvent,
  countRecord,
  countUp,
  decodeCount,
  migrate,
  openDb,
  type Tx,
  uniqueName,
} from './harness.ts';

// Servers of this file's own. Both sources live through the same outages.
let postgres: OwnServer & { url: string };
let kafka: OwnServer & { brokers: string[] };
let db: ReturnType<typeof openDb>;
const running: Consumer[] = [];

const partitions = 3;
/** Records of each partition that are written at a time. */
const batch = 60;
/** Events of a consumer that are handled before the outage; the next of each partition waits for it in its transaction. */
const freeEvents = 10;
const soon = { timeout: 60_000, interval: 50 };

beforeAll(async () => {
  [postgres, kafka] = await Promise.all([startOwnPostgres(), startOwnKafka()]);
  await migrate(postgres.url);
  db = openDb(postgres.url);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((consumer) => consumer.stop()));
});
afterAll(async () => {
  await db?.close();
  await Promise.all([postgres?.close(), kafka?.close()]);
});

const client = () => new Kafka({ brokers: kafka.brokers, logLevel: logLevel.NOTHING });

/** A consumer, and a topic of its own that is written to. */
async function run(createSource: (options: SourceOptions) => RecordSource) {
  const [topic, groupId] = [uniqueName('outage'), uniqueName('group')];
  const admin = client().admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: false });
  await admin.disconnect();
  const outage = Promise.withResolvers<void>();
  let begun = 0;
  const source = createSource({ brokers: kafka.brokers, groupId, topics: [topic], chunkSizeMax: 20 });
  const consumer = createConsumer<CountEvent, Tx>(
    { source, transaction: db.transaction },
    {
      consumerName: groupId,
      decode: decodeCount,
      handle: async (tx, event) => {
        await countUp(tx, event);
        if (++begun > freeEvents) await outage.promise;
      },
      acceptRetryMaxMs: 500,
    },
  );
  running.push(consumer);
  await consumer.start();
  let written = 0;
  async function produce(): Promise<void> {
    const producer = client().producer({ allowAutoTopicCreation: false });
    await producer.connect();
    const all = Array.from({ length: batch * partitions }, (_, i) => `${topic}-${written + i}`);
    const messages = all.map((id, i) => ({ ...countRecord(id, id), partition: i % partitions }));
    await producer.send({ topic, acks: -1, messages });
    await producer.disconnect();
    written += all.length;
  }
  async function untilAllHandled(): Promise<void> {
    await expect.poll(async () => (await consumer.status()).lagRecords, soon).toBe(0);
    const { rows } = await db.pool.query(
      `SELECT count(*)::int AS names, sum(n)::int AS effects FROM counters WHERE name LIKE $1`,
      [`${topic}-%`],
    );
    expect(rows).toEqual([{ names: written, effects: written }]);
  }
  /** That it is at work: a handler has written, and waits in its transaction. */
  async function untilAmidst(): Promise<void> {
    await expect.poll(() => begun, soon).toBeGreaterThan(freeEvents);
  }
  return { consumer, produce, untilAllHandled, untilAmidst, goOn: outage.resolve };
}

const each = <T, R>(all: readonly T[], what: (one: T) => Promise<R>): Promise<R[]> =>
  Promise.all(all.map(what));

const timeout = 180_000;

it('a broker that goes away amidst the work and comes back: with each source it goes on by itself, every effect once', {
  timeout,
}, async () => {
  const all = await each(Object.values(bothSources), run);
  await each(all, (one) => one.produce());
  await each(all, (one) => one.untilAmidst());
  await kafka.stop(); // in order: one that was killed is kept waiting by Kafka; the soak does that
  for (const { goOn } of all) goOn();
  for (const { consumer } of all)
    await expect.poll(async () => (await consumer.status()).problems, soon).toMatchObject([{ of: 'broker' }]);
  await kafka.start();
  await each(all, (one) => one.produce());
  await each(all, (one) => one.untilAllHandled());
  for (const { consumer } of all) {
    expect(consumer.isHealthy()).toBe(true);
    expect(consumer.counts()).toMatchObject({ deadLetters: 0, scheduled: 0 });
  }
});

it('PostgreSQL that crashes amidst the work and comes back: with each source it goes on by itself, every effect once', {
  timeout,
}, async () => {
  const all = await each(Object.values(bothSources), run);
  await each(all, (one) => one.produce());
  await each(all, (one) => one.untilAmidst());
  const restarts = all.map(({ consumer }) => consumer.counts().sourceRestarts);
  await postgres.kill();
  for (const { goOn } of all) goOn();
  for (const { consumer } of all) {
    await expect.poll(() => consumer.counts().retries, soon).toBeGreaterThan(3);
    expect(await consumer.status()).toMatchObject({ stored: null, problems: [{ of: 'database' }] });
  }
  await postgres.start();
  await each(all, (one) => one.produce());
  await each(all, (one) => one.untilAllHandled());
  for (const { consumer } of all) {
    expect(consumer.isHealthy()).toBe(true);
    expect(consumer.counts()).toMatchObject({ deadLetters: 0, scheduled: 0 });
  }
  // No member was lost to its group meanwhile.
  expect(all.map(({ consumer }) => consumer.counts().sourceRestarts)).toEqual(restarts);
});
