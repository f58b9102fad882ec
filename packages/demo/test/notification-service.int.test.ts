import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePort, type ServiceProcess, startService, waitFor } from '@orders/dev-stack';
import { mustRun, type PackedProjects, packProjects } from '@orders/dev-stack/packed';
import { createTestDatabase, createTestTopic, testStack, uniqueName } from '@orders/dev-stack/testing';
import { Kafka, logLevel, type Message } from 'kafkajs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTopic } from '../src/index.ts';

/** Packages that this machine does not have yet are fetched. */
const installTimeoutMs = 180_000;
const orderCount = 60;
const soon = { timeout: 60_000, interval: 100 };

// In this order: one service, set up, used, killed and stopped.
describe('docs/examples/notification-service, with the two tarballs', { shuffle: false }, () => {
  let projects: PackedProjects;
  let service: Awaited<ReturnType<typeof openService>>;
  beforeAll(async () => {
    projects = await packProjects('packages/outbox', 'packages/idempotent-consumer');
    service = await openService(
      await projects.copy('docs/examples/notification-service', 'notification-service'),
    );
  }, installTimeoutMs);
  afterAll(async () => {
    await service?.close();
    await projects?.remove();
  });

  it('compiles, and its set-up may be repeated', { timeout: 60_000 }, async () => {
    await mustRun(service.dir, join(service.dir, 'node_modules/.bin/tsc'), '-p', '.');
    expect([await service.setUp(), await service.setUp()]).toEqual([0, 0]);
  });

  it('an order event that is delivered twice gives one notification and one published event', {
    timeout: 120_000,
  }, async () => {
    await service.start();
    await service.produce([orderCreated('twice'), orderCreated('twice'), other('twice')]);
    await service.untilCaughtUp(3);
    await service.produce([orderCreated('twice'), orderCreated('second')]);
    await service.untilCaughtUp(5);
    expect(await service.notified()).toEqual(['second', 'twice']);
    await expect.poll(service.published, soon).toEqual(['second', 'twice']);
    expect(await service.status()).toMatchObject({ counts: { handled: 2, duplicates: 2, skipped: 1 } });
  });

  it('a record that it cannot read is a dead letter, and those behind it are handled', {
    timeout: 60_000,
  }, async () => {
    await service.produce([{ ...orderCreated('unreadable'), value: '{' }, orderCreated('behind')]);
    await service.untilCaughtUp(7);
    expect(await service.notified()).toEqual(['behind', 'second', 'twice']);
    expect(await service.status()).toMatchObject({
      isHealthy: true,
      lagRecords: 0,
      stored: { dead: { count: 1 }, blockedKeys: { count: 0 } },
    });
  });

  it('killed at work, with every event delivered twice, it notifies and publishes once for each order', {
    timeout: 120_000,
  }, async () => {
    const orders = Array.from({ length: orderCount }, (_, i) => `order-${i}`);
    const killed = service.killOnceNotified(3 + orderCount / 4);
    for (const some of [orders, orders.toReversed()]) await service.produce(some.map(orderCreated));
    expect(await killed).toEqual({ code: null, signal: 'SIGKILL' });
    await service.start();
    await service.untilCaughtUp(7 + 2 * orderCount);
    const all = ['behind', 'second', 'twice', ...orders].toSorted();
    expect(await service.notified()).toEqual(all);
    await expect.poll(service.published, soon).toEqual(all);
  });

  it('ends by itself on SIGTERM', { timeout: 60_000 }, async () => {
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });
});

/** As order-api publishes it, with its id made of the order's. */
const orderCreated = (orderId: string): Message => ({
  key: `demo:${orderId}`,
  value: JSON.stringify({ orderId, version: 1, state: 'CREATED', customerId: `customer-of-${orderId}` }),
  headers: {
    ce_specversion: '1.0',
    ce_type: 'order.created.v1',
    ce_id: `created-${orderId}`,
    ce_subject: orderId,
  },
});

const other = (orderId: string): Message => {
  const { headers, ...rest } = orderCreated(orderId);
  return { ...rest, headers: { ...headers, ce_type: 'order.paid.v1', ce_id: `paid-${orderId}` } };
};

/**
 * The example as an importer has it, with a database and topics of its own.
 * @param dir its folder, outside the repository, installed
 */
async function openService(dir: string) {
  const database = await createTestDatabase({ template: 'empty', migrate: async () => undefined });
  const pool = new pg.Pool({ connectionString: database.url, max: 2 });
  const brokers = testStack().kafkaBrokers;
  const [groupId, ordersTopic] = [
    uniqueName('notifications'),
    await createTestTopic('orders', { partitions: 3 }),
  ];
  const notificationsTopic = uniqueName('notifications');
  const port = await freePort();
  const env = {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: brokers.join(','),
    ORDERS_TOPIC: ordersTopic,
    NOTIFICATIONS_TOPIC: notificationsTopic,
    GROUP_ID: groupId,
    PORT: String(port),
  };
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const admin = kafka.admin();
  await admin.connect();
  const run = (entry: string) =>
    startService({ name: entry, entry: pathToFileURL(join(dir, 'src', entry)), env });
  const textOf = async (sql: string): Promise<string[]> =>
    (await pool.query(sql)).rows.map(({ text }) => text);
  let running: ServiceProcess | undefined;

  return {
    dir,

    /** Runs the job that comes before the service, and returns its exit status. */
    async setUp(): Promise<number | null> {
      const job = await run('setup.ts');
      const { code } = await job.exited;
      if (code !== 0) throw new Error(`setup ended with ${code}: ${JSON.stringify(job.logs)}`);
      return code;
    },

    async start(): Promise<void> {
      running = await run('main.ts');
      const isReady = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
      await waitFor('the notification service', isReady);
    },

    produce: (messages: Message[]) => producer.send({ topic: ordersTopic, messages, acks: -1 }),

    /** Until the group has committed so many records, of all partitions. */
    async untilCaughtUp(records: number): Promise<void> {
      const committed = async () => {
        const [found] = await admin.fetchOffsets({ groupId, topics: [ordersTopic] });
        return (found?.partitions ?? []).reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
      };
      await expect.poll(committed, soon).toBe(records);
    },

    /** Orders of which there is a notification, each as often as there is one. */
    notified: () => textOf('SELECT order_id AS text FROM notifications ORDER BY order_id COLLATE "C"'),

    /** Orders of which an event was published, each as often as there is one; the relay may repeat an event. */
    async published(): Promise<string[]> {
      const records = await readTopic(brokers, notificationsTopic);
      const orderIds = new Map(
        records.map(({ headers, value }) => [
          String(headers.id),
          JSON.parse(String(value)).orderId as string,
        ]),
      );
      return [...orderIds.values()].toSorted();
    },

    async status(): Promise<unknown> {
      return (await fetch(`http://127.0.0.1:${port}/status`)).json();
    },

    async killOnceNotified(count: number) {
      const killing = running;
      while ((await textOf('SELECT order_id AS text FROM notifications')).length < count);
      return killing?.kill();
    },

    stop: () => running?.stop(),

    async close() {
      await running?.kill();
      await Promise.all([producer.disconnect(), admin.disconnect()]);
      await pool.end();
      await database.drop();
    },
  };
}
