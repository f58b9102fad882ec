import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTestDatabase, createTestTopic, testStack, uniqueName } from '@orders/dev-stack/testing';
import { Kafka, logLevel } from 'kafkajs';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import type { OutboxEvent } from '../src/index.ts';
import { createOutbox } from '../src/index.ts';
import { outboxMigratorSettings } from '../src/migrations.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests read tables without types
export type AnyKysely = Kysely<any>;

/** A migrated database of the test file's own. */
export async function openTestDatabase() {
  const database = await createTestDatabase({ template: 'outbox', migrate });
  const pools: pg.Pool[] = [];
  const openPool = (config: pg.PoolConfig = {}) => {
    const pool = new pg.Pool({ connectionString: database.url, max: 5, ...config });
    pool.on('error', () => undefined); // tests cut connections
    pools.push(pool);
    return pool;
  };
  const pool = openPool();
  const db: AnyKysely = new Kysely({ dialect: new PostgresDialect({ pool }) });
  const outbox = createOutbox();
  return {
    url: database.url,
    pool,
    db,
    openPool,
    /** Writes events in a transaction of their own, in order. */
    add: (events: OutboxEvent | readonly OutboxEvent[]) =>
      db.transaction().execute((tx) => outbox.add(tx, events)),
    async count(where = 'true') {
      const { rows } = await pool.query(`SELECT count(*)::int AS n FROM outbox WHERE ${where}`);
      return rows[0].n as number;
    },
    unpublished(topic: string) {
      return this.count(`published_at IS NULL AND topic = '${topic}'`);
    },
    async close() {
      await Promise.all(pools.map((one) => one.end()));
      await database.drop();
    },
  };
}

export type OutboxDatabase = Awaited<ReturnType<typeof openTestDatabase>>;

/** Applies the migrations of this package. */
export async function migrate(url: string): Promise<void> {
  const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
  const migrator = new Migrator({
    db,
    ...outboxMigratorSettings({ schema: 'public' }),
  });
  const { error } = await migrator.migrateToLatest();
  await db.destroy();
  if (error !== undefined) throw error;
}

/** An event with a number in its payload, for checking order. */
export function eventFor(topic: string, key: string, n = 0, more: Partial<OutboxEvent> = {}): OutboxEvent {
  return {
    id: randomUUID(),
    topic,
    key,
    type: 'thing.happened.v1',
    aggregateType: 'thing',
    orderingKey: key,
    payload: { n },
    headers: { n: String(n) },
    ...more,
  };
}

/** `count` events over `keys` keys, numbered 0, 1, 2, … */
export const eventsFor = (topic: string, count: number, keys = 10, from = 0): OutboxEvent[] =>
  Array.from({ length: count }, (_, i) => eventFor(topic, `key-${(from + i) % keys}`, from + i));

export const kafkaClient = (): Kafka =>
  new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });

export interface TopicRecord {
  partition: number;
  key: string;
  value: Buffer;
  headers: Record<string, string>;
}

/** Everything that is on a topic now, in the order of each partition. */
export async function readTopic(topic: string, kafka = kafkaClient()): Promise<TopicRecord[]> {
  const admin = kafka.admin();
  await admin.connect();
  const offsets = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const expected = offsets.reduce((sum, one) => sum + Number(one.high) - Number(one.low), 0);
  const records: TopicRecord[] = [];
  if (expected === 0) return records;
  const consumer = kafka.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]);
      records.push({
        partition,
        key: String(message.key),
        value: message.value as Buffer,
        headers: Object.fromEntries(headers),
      });
    },
  });
  while (records.length < expected) await sleep(10);
  await consumer.disconnect();
  return records;
}

/** The numbers of each key's events as they first appeared. */
export function firstAppearances(records: readonly TopicRecord[]): Map<string, number[]> {
  const byKey = Map.groupBy(records, (record) => record.key);
  return new Map(
    [...byKey].map(([key, ofKey]) => [key, [...new Set(ofKey.map((record) => Number(record.headers.n)))]]),
  );
}

/** The numbers that each key's events were written with, in order. */
export const written = (events: readonly OutboxEvent[]): Map<string, number[]> =>
  new Map(
    [...Map.groupBy(events, (event) => event.key)].map(([key, ofKey]) => [
      key,
      ofKey.map((event) => Number(event.headers?.n)),
    ]),
  );

/** A topic whose leaders answer: just after a creation they may still refuse records. */
export async function openTestTopic(prefix: string, o: { partitions?: number } = {}): Promise<string> {
  const topic = await createTestTopic(prefix, o);
  const admin = kafkaClient().admin();
  await admin.connect();
  const answers = () =>
    admin.fetchTopicOffsets(topic).then(
      () => true,
      (error: { type?: string }) => {
        if (error.type !== 'NOT_LEADER_FOR_PARTITION') throw error;
        return false;
      },
    );
  while (!(await answers())) await sleep(20);
  await admin.disconnect();
  return topic;
}

export { testStack, uniqueName };
