import { randomUUID } from 'node:crypto';
import { createDatabase, type DatabaseHandle, inTransaction, migrateAll } from '@orders/db';
import { freePort, type ServiceProcess, startService } from '@orders/dev-stack';
import { createTestDatabase, createTestTopic, type TestDatabase, testStack } from '@orders/dev-stack/testing';
import { createOutbox } from '@orders/outbox';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const entry = new URL('../src/main.ts', import.meta.url);
const outbox = createOutbox();
const kafka = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });

describe('outbox-relay as a process', () => {
  let testDatabase: TestDatabase;
  let database: DatabaseHandle;
  let topic: string;
  const started: ServiceProcess[] = [];

  const createMigratedDatabase = () =>
    createTestDatabase({
      template: 'migrated',
      migrate: async (url) => void (await migrateAll(url)),
    });

  beforeAll(async () => {
    testDatabase = await createMigratedDatabase();
    database = createDatabase({ url: testDatabase.url });
    topic = await createTestTopic('relay-app', { partitions: 3 });
  });
  afterAll(async () => {
    await Promise.all(started.map((relay) => relay.stop('SIGKILL')));
    await database.close();
    await testDatabase.drop();
  });

  async function startRelay(env: Record<string, string> = {}) {
    const port = await freePort();
    const { kafkaBrokers } = testStack();
    const relay = await startService({
      name: 'outbox-relay',
      entry,
      env: {
        DATABASE_URL: testDatabase.url,
        KAFKA_BROKERS: kafkaBrokers.join(','),
        PROBE_PORT: String(port),
        RELAY_LEASE_MS: '1500',
        RELAY_POLL_INTERVAL_MS: '50',
        ...env,
      },
    });
    started.push(relay);
    const probe = (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`).then(
        ({ status }) => status,
        () => null,
      );
    return { relay, probe };
  }

  async function ready(probe: (path: string) => Promise<number | null>) {
    await expect.poll(() => probe('/readyz'), { timeout: 30_000 }).toBe(200);
  }

  let sequence = 0;
  const addEvent = (key: string) =>
    inTransaction(database.db, async (tx) => {
      const id = randomUUID();
      const payload = { n: ++sequence };
      await outbox.add(tx, {
        id,
        topic,
        key,
        type: 'test.v1',
        aggregateType: 'test',
        orderingKey: key,
        payload,
      });
      return id;
    });

  async function unpublished(): Promise<number> {
    const { rows } = await database.pool.query(
      'SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL',
    );
    return rows[0].n;
  }

  /** Ids of the first occurrences on the topic, per key, in the order of the topic. */
  async function publishedPerKey(total: number): Promise<Map<string, number[]>> {
    const consumer = kafka.consumer({
      groupId: randomUUID(),
      maxWaitTimeInMs: 100,
      allowAutoTopicCreation: false,
    });
    const seen = new Map<string, Set<number>>();
    const count = () => [...seen.values()].reduce((sum, numbers) => sum + numbers.size, 0);
    await consumer.connect();
    try {
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ message }) => {
          const key = String(message.key);
          const numbers = seen.get(key) ?? new Set();
          seen.set(key, numbers.add(JSON.parse(String(message.value)).n));
        },
      });
      await expect.poll(count, { timeout: 20_000 }).toBe(total);
    } finally {
      await consumer.disconnect();
    }
    return new Map([...seen].map(([key, numbers]) => [key, [...numbers]]));
  }

  it('makes partitions ahead and drops old ones, as it is configured', async () => {
    // In a database of its own: in one, all relays together do this once in a while only.
    const fresh = await createMigratedDatabase();
    const { pool, close } = createDatabase({ url: fresh.url });
    await pool.query(
      `CREATE TABLE outbox_old PARTITION OF outbox FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`,
    );
    const env = {
      DATABASE_URL: fresh.url,
      RELAY_RETENTION_MS: '3600000',
      RELAY_PARTITIONS_AHEAD: '36',
      RELAY_PARTITION_WIDTH_MS: '21600000',
    };
    const { relay } = await startRelay(env);
    const partitions = async () => {
      const { rows } = await pool.query('SELECT partition AS name FROM outbox_partitions()');
      return rows.map(({ name }) => name as string);
    };
    await expect.poll(partitions, { timeout: 30_000 }).not.toContain('public.outbox_old');
    expect((await partitions()).filter((name) => name.endsWith('t1800')).length).toBeGreaterThan(0);
    await relay.stop('SIGTERM');
    await close();
    await fresh.drop();
  });

  it('is ready, publishes, and after SIGTERM ends with status 0; restarted under load it loses and reorders nothing', async () => {
    let stopped = false;
    let written = 0;
    const writer = async (key: string) => {
      while (!stopped) {
        await addEvent(key);
        written += 1;
      }
    };
    const { relay, probe } = await startRelay();
    await ready(probe);
    expect(await probe('/livez')).toBe(200);
    const writers = ['a', 'b', 'c', 'd'].map(writer);
    for (const limit of [40, 80])
      await expect.poll(() => written, { timeout: 20_000 }).toBeGreaterThan(limit);

    expect(await relay.stop('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(relay.logs.at(-1)).toMatchObject({ level: 'info', msg: 'stopped' });
    const next = await startRelay();
    await ready(next.probe);
    stopped = true;
    await Promise.all(writers);

    await expect.poll(unpublished, { timeout: 20_000 }).toBe(0);
    expect(await next.relay.stop('SIGTERM')).toEqual({ code: 0, signal: null });
    for (const numbers of (await publishedPerKey(written)).values())
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    const everything = JSON.stringify([relay.logs, next.relay.logs]);
    expect(everything).not.toContain(testDatabase.url);
  });

  it('while Kafka cannot be reached it is alive, not ready, takes no bucket, and obeys SIGTERM', async () => {
    const { relay, probe } = await startRelay({ KAFKA_BROKERS: `127.0.0.1:${await freePort()}` });
    await expect
      .poll(() => relay.logs, { timeout: 20_000 })
      .toContainEqual(expect.objectContaining({ level: 'warn', msg: 'Kafka does not answer yet' }));
    expect([await probe('/livez'), await probe('/readyz')]).toEqual([200, 503]);
    const { rows } = await database.pool.query('SELECT bucket FROM outbox_buckets WHERE owner IS NOT NULL');
    expect(rows).toEqual([]);
    expect(await relay.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('on a database that is not migrated it does not start, and says what to do', async () => {
    const empty = await createTestDatabase({ template: 'empty', migrate: async () => undefined });
    const { relay } = await startRelay({ DATABASE_URL: empty.url });
    expect(await relay.exited).toEqual({ code: 1, signal: null });
    expect(relay.logs.at(-1)).toMatchObject({
      level: 'error',
      msg: 'the service could not start',
      err: { code: 'DB_SCHEMA_BEHIND', message: expect.stringContaining('ordersctl migrate') },
    });
    await empty.drop();
  });

  it('refuses an outbox that was restored from another server, and names the command that adopts it', async () => {
    const migrate = async (url: string) => void (await migrateAll(url));
    const restored = await createTestDatabase({ template: 'migrated', migrate });
    const { pool, close } = createDatabase({ url: restored.url });
    await pool.query('UPDATE outbox_buckets SET low_seq = 1000000');
    await close();
    const { relay } = await startRelay({ DATABASE_URL: restored.url });
    expect(await relay.exited).toEqual({ code: 1, signal: null });
    expect(relay.logs.at(-1)?.err).toMatchObject({
      code: 'OUTBOX_RESTORED',
      message: expect.stringContaining('ordersctl relay adopt-restored'),
    });
    await restored.drop();
  });
});
