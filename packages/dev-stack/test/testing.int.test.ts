import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createTestDatabase, createTestTopic, testStack } from '../src/testing.ts';

async function rowsOf(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

const template = {
  template: 'dev-stack',
  migrate: async (url: string) => {
    await rowsOf(url, 'CREATE TABLE t (i int)');
  },
};

test('a real PostgreSQL 18 answers, durable and sized for many packages', async () => {
  const settings = await rowsOf(
    testStack().postgresUrl,
    `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'max_connections', 'server_version_num') ORDER BY 1`,
  );
  expect(settings).toEqual([
    { name: 'fsync', setting: 'on' },
    { name: 'max_connections', setting: '300' },
    { name: 'server_version_num', setting: expect.stringMatching(/^18/) },
  ]);
});

test('a real Kafka carries a record, and creates no topic by itself', async () => {
  const kafka = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });
  const topic = await createTestTopic('carry', { partitions: 3 });
  const admin = kafka.admin();
  const producer = kafka.producer({ allowAutoTopicCreation: true, retry: { retries: 1 } });
  await Promise.all([admin.connect(), producer.connect()]);
  try {
    await producer.send({ topic, messages: [{ key: 'k', value: 'v', partition: 2 }] });
    const offsets = await admin.fetchTopicOffsets(topic);
    expect(offsets.map(({ partition, offset }) => [partition, offset]).sort()).toEqual([
      [0, '0'],
      [1, '0'],
      [2, '1'],
    ]);
    await expect(producer.send({ topic: `${topic}-absent`, messages: [{ value: 'v' }] })).rejects.toThrow();
    expect(await admin.listTopics()).not.toContain(`${topic}-absent`);
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  }
});

test('two databases of one template are separate, and the template is migrated once', async () => {
  let migrations = 0;
  const counted = {
    template: 'counted',
    migrate: async (url: string) => {
      migrations += 1;
      await template.migrate(url);
    },
  };
  const [one, two] = await Promise.all([createTestDatabase(counted), createTestDatabase(counted)]);
  await rowsOf(one.url, 'INSERT INTO t VALUES (1)');
  expect(await rowsOf(one.url, 'SELECT i FROM t')).toEqual([{ i: 1 }]);
  expect(await rowsOf(two.url, 'SELECT i FROM t')).toEqual([]);
  expect(migrations).toBe(1);
  await Promise.all([one.drop(), two.drop()]);
});

test('a template whose migration failed is not used', async () => {
  const failing = { template: 'failing', migrate: () => Promise.reject(new Error('no')) };
  await expect(createTestDatabase(failing)).rejects.toThrow('no');
  const { url, drop } = await createTestDatabase({ ...template, template: 'failing' });
  expect(await rowsOf(url, 'SELECT i FROM t')).toEqual([]);
  await drop();
});

test('a database is dropped although somebody is connected to it', async () => {
  const { url, drop } = await createTestDatabase(template);
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await drop();
  await expect(client.query('SELECT 1')).rejects.toThrow();
  await client.end().catch(() => undefined);
});

test('a database is dropped without cutting off connections that are about to end', async () => {
  const { url, drop } = await createTestDatabase(template);
  const client = new pg.Client({ connectionString: url });
  const errors: Error[] = [];
  client.on('error', (error) => errors.push(error));
  await client.connect();
  const query = client.query('SELECT pg_sleep(0.3)');
  await Promise.all([drop(), query.finally(() => client.end())]);
  expect(errors).toEqual([]);
  await expect(rowsOf(url, 'SELECT 1')).rejects.toThrow('does not exist');
});
