import { createTestDatabase, createTestTopic, testStack, uniqueName } from '@orders/dev-stack/testing';
import { Kafka, logLevel, type Message } from 'kafkajs';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Consumer, type ConsumerOptions, createConsumer, type Logger } from '../src/index.ts';
import { type KafkajsSourceOptions, kafkajsSource } from '../src/kafkajs.ts';
import { consumerMigratorSettings } from '../src/migrations.ts';
import { type CountEvent, countAll, decodeCount, type Tx } from './counting.ts';

/** Makes the tables of this package, and those that the tests write to. */
export async function migrate(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  const migrator = new Migrator({ db, ...consumerMigratorSettings({ schema: 'public' }) });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
  // The effect that must happen once has nothing of its own that would stop it from happening twice.
  await pool.query('CREATE TABLE counters (name text PRIMARY KEY, n int NOT NULL)');
  await pool.query('CREATE TABLE parents (id text PRIMARY KEY)');
  await pool.query(
    'CREATE TABLE children (parent text REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)',
  );
  await db.destroy();
}

export interface TestDb {
  readonly url: string;
  readonly pool: pg.Pool;
  transaction<R>(work: (tx: Tx) => Promise<R>): Promise<R>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly db: Kysely<any>;
  scheduled(consumerName: string): Promise<Record<string, unknown>[]>;
  /** How often `name` was counted. */
  counted(name: string): Promise<number>;
  inboxRows(
    consumerName: string,
  ): Promise<{ event_id: string; topic: string; partition: number; offset: string }[]>;
  deadLetters(consumerName: string): Promise<Record<string, unknown>[]>;
}

/** Opens a database: connections for the code under test in `used`, and `pool` beside them for looking. */
export function openDb(
  url: string,
  { applicationName = 'consumer-under-test', max = 8 } = {},
): TestDb & { readonly used: pg.Pool; close(): Promise<void> } {
  const options = { connectionString: url, application_name: applicationName, max };
  const used = new pg.Pool(options);
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  // A test terminates backends: pg tells of it by events too, of the pool or of a connection in use.
  for (const one of [used, pool]) {
    one.on('error', () => undefined);
    one.on('connect', (client) => client.on('error', () => undefined));
  }
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const db = new Kysely<any>({ dialect: new PostgresDialect({ pool: used }) });
  const rows = async (text: string, value: string) => (await pool.query(text, [value])).rows;
  return {
    url,
    pool,
    used,
    transaction: (work) => db.transaction().execute(work),
    db,
    scheduled: (name) => rows('SELECT * FROM scheduled_events WHERE worker_id = $1 ORDER BY seq', name),
    counted: async (name) => (await rows('SELECT n FROM counters WHERE name = $1', name))[0]?.n ?? 0,
    inboxRows: (consumerName) =>
      rows('SELECT * FROM processed_events WHERE worker_id = $1 ORDER BY "offset"', consumerName),
    deadLetters: (consumerName) =>
      rows('SELECT * FROM dead_letter_events WHERE worker_id = $1 ORDER BY "offset"', consumerName),
    close: async () => {
      await db.destroy();
      await pool.end();
    },
  };
}

/** A migrated database for one test file. */
export function useDatabase(): () => TestDb {
  let database: Awaited<ReturnType<typeof createTestDatabase>> | undefined;
  let db: ReturnType<typeof openDb> | undefined;
  beforeAll(async () => {
    database = await createTestDatabase({ template: 'idempotent-consumer', migrate });
    db = openDb(database.url);
  });
  afterAll(async () => {
    await db?.close();
    await database?.drop();
  });
  return () => db as TestDb;
}

/** A client; `log` is given kafkajs's own messages. */
export const testKafka = (log?: (level: logLevel, message: string) => void) =>
  new Kafka({
    clientId: 'consumer-test',
    brokers: testStack().kafkaBrokers,
    logLevel: log === undefined ? logLevel.NOTHING : logLevel.INFO,
    logCreator: () => (entry) => log?.(entry.level, entry.log.message),
    retry: { initialRetryTime: 50 },
  });

/** Puts records on a topic, in this order. */
export async function produce(topic: string, messages: Message[], partition = 0): Promise<void> {
  const producer = testKafka().producer({ allowAutoTopicCreation: false });
  await producer.connect();
  await producer.send({ topic, acks: -1, messages: messages.map((message) => ({ partition, ...message })) });
  await producer.disconnect();
}

/** The offset a group has committed for a partition; -1 while it has none. */
export async function committedOffset(groupId: string, topic: string, partition = 0): Promise<number> {
  const admin = testKafka().admin();
  await admin.connect();
  try {
    const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
    return Number(found?.partitions.find((one) => one.partition === partition)?.offset ?? -1);
  } finally {
    await admin.disconnect();
  }
}

export interface LogEntry {
  readonly level: keyof Logger;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

/** A logger that remembers. */
export function recordingLogger(): Logger & { entries: LogEntry[] } {
  const entries: LogEntry[] = [];
  const at = (level: keyof Logger) => (fields: object, message: string) => {
    entries.push({ level, fields: fields as Record<string, unknown>, message });
  };
  return { entries, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export type TestConsumerOptions = Partial<ConsumerOptions<CountEvent, Tx>> & {
  topic: string;
  groupId?: string;
  source?: Partial<KafkajsSourceOptions>;
  kafka?: Kafka;
  deps?: Partial<Parameters<typeof createConsumer<CountEvent, Tx>>[0]>;
};

/** Starts consumers on kafkajs, with short time-outs, and stops them after each test. */
export function useConsumers(db: () => TestDb) {
  const running: Consumer[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((consumer) => consumer.stop()));
  });
  return async ({ topic, deps, source, kafka = testKafka(), ...options }: TestConsumerOptions) => {
    const logger = recordingLogger();
    const { groupId = uniqueName('group'), ...consumerOptions } = options;
    const consumerName = options.consumerName ?? uniqueName('consumer');
    const membership = { sessionTimeoutMs: 2_000, rebalanceTimeoutMs: 5_000, ...source };
    const consumer = createConsumer<CountEvent, Tx>(
      {
        source: kafkajsSource({ kafka }, { groupId, topics: [topic], ...membership }),
        transaction: db().transaction,
        logger,
        ...deps,
      },
      {
        decode: decodeCount,
        ...(options.handle === undefined ? { handleBatch: countAll } : {}),
        acceptRetryBaseMs: 50,
        acceptRetryMaxMs: 200,
        pollIntervalMs: 100,
        ...consumerOptions,
        consumerName,
      },
    );
    running.push(consumer);
    await consumer.start();
    return { consumer, logger, groupId, consumerName };
  };
}

/** Polling that a busy machine does not break. */
export const soon = { timeout: 15_000, interval: 50 };

export * from './counting.ts';
export { createTestTopic, uniqueName };
