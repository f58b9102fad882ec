import { createDatabase, type DatabaseHandle, inTransaction, migrateAll } from '@orders/db';
import {
  freePort,
  type GatewaySimulator,
  type ServiceProcess,
  startGatewaySimulator,
  startService,
} from '@orders/dev-stack';
import {
  createTestDatabase,
  createTestTopic,
  type TestDatabase,
  testStack,
  uniqueName,
} from '@orders/dev-stack/testing';
import { toOutboxEvent } from '@orders/events';
import { createOrderLifecycle } from '@orders/order-lifecycle';
import { createOutbox } from '@orders/outbox';
import { Kafka, logLevel, Partitioners, type Producer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const entry = new URL('../src/main.ts', import.meta.url);
const kafka = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });

describe('payment-worker as a process', () => {
  let testDatabase: TestDatabase;
  let database: DatabaseHandle;
  let simulator: GatewaySimulator;
  let producer: Producer;
  let topic: string;
  const started: ServiceProcess[] = [];
  const ports = new Map<ServiceProcess, number>();

  beforeAll(async () => {
    testDatabase = await createTestDatabase({
      template: 'migrated',
      migrate: async (url) => void (await migrateAll(url)),
    });
    database = createDatabase({ url: testDatabase.url });
    topic = await createTestTopic('worker-app', { partitions: 2 });
    simulator = await startGatewaySimulator({ successRate: 1, latencyMs: 20 });
    producer = kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
    });
    await producer.connect();
  });
  afterAll(async () => {
    await Promise.all(started.map((worker) => worker.stop('SIGKILL')));
    await Promise.all([producer.disconnect(), simulator.stop(), database.close()]);
    await testDatabase.drop();
  });

  async function startWorker() {
    const port = await freePort();
    const { kafkaBrokers } = testStack();
    const worker = await startService({
      name: 'payment-worker',
      entry,
      env: {
        DATABASE_URL: testDatabase.url,
        KAFKA_BROKERS: kafkaBrokers.join(','),
        ORDERS_TOPIC: topic,
        CONSUMER_GROUP: group,
        KAFKA_SESSION_TIMEOUT_MS: '2000',
        GATEWAY_URL: simulator.url,
        GATEWAY_TIMEOUT_MS: '4000',
        PAYMENT_LEASE_MS: '10000',
        PAYMENT_POLL_INTERVAL_MS: '100',
        PROBE_PORT: String(port),
      },
    });
    started.push(worker);
    ports.set(worker, port);
    const probe = (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`).then(
        ({ status }) => status,
        () => null,
      );
    await expect.poll(() => probe('/readyz'), { timeout: 30_000 }).toBe(200);
    expect(await probe('/livez')).toBe(200);
    return worker;
  }
  const group = uniqueName('worker-app');

  const metricsOf = async (worker: ServiceProcess) =>
    (await fetch(`http://127.0.0.1:${ports.get(worker)}/metrics`)).text();

  /** An order as the API leaves it, and its event on the topic as the relay brings it. */
  async function placeOrder(n: number) {
    const lifecycle = createOrderLifecycle({ outbox: createOutbox(), topic });
    const [created] = await inTransaction(database.db, (tx) =>
      lifecycle.createOrders(tx, [
        {
          tenantId: 'tenant',
          customerId: `customer-${n}`,
          currency: 'EUR',
          totalMinor: 500,
          paymentMethod: 'tok_secret_token',
          items: [{ sku: 'tea', name: 'Tea', quantity: 1, unitAmountMinor: 500 }],
          correlationId: `correlation-${n}`,
        },
      ]),
    );
    const { key, headers, payload } = toOutboxEvent(created!.event, topic);
    await producer.send({ topic, messages: [{ key, headers, value: JSON.stringify(payload) }] });
    return { orderId: created!.order.id, eventId: created!.event.id, correlationId: `correlation-${n}` };
  }

  /** How many of these orders are PAID. */
  async function paid(orders: readonly { orderId: string }[]): Promise<number> {
    const { rowCount } = await database.pool.query(
      `SELECT FROM orders WHERE state = 'PAID' AND id = ANY ($1)`,
      [orders.map(({ orderId }) => orderId)],
    );
    return rowCount ?? 0;
  }

  const charges = async (orderId: string) =>
    (await simulator.ledger()).filter((entry) => entry.reference === orderId && entry.outcome === 'captured');

  it('accepts and charges an order, and its log says so with order, event and correlation id, and no secret', async () => {
    const worker = await startWorker();
    const ids = await placeOrder(1);
    await expect.poll(() => paid([ids]), { timeout: 20_000 }).toBe(1);
    expect(await charges(ids.orderId)).toHaveLength(1);
    expect(await metricsOf(worker)).toMatch(/^idempotent_consumer_handled_total 1$/m);

    const accepted = worker.logs.filter((line) => line.msg === 'order accepted for payment');
    expect(accepted).toEqual([expect.objectContaining(ids)]);
    // The payment itself: at least the outcome of the charge, said with the same ids.
    await expect
      .poll(() => worker.logs.filter((line) => line.orderId === ids.orderId && line !== accepted[0]))
      .toContainEqual(expect.objectContaining(ids));
    const everything = JSON.stringify(worker.logs);
    expect(everything).not.toContain('tok_secret_token');
    expect(everything).not.toContain(testDatabase.url);
    expect(await worker.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('SIGTERM while orders flow in and calls are in flight loses nothing: status 0, the calls recorded, the rest left for the next', async () => {
    await simulator.control({ latencyMs: 400 });
    const worker = await startWorker();
    const placed: { orderId: string }[] = [];
    for (let n = 2; n < 12; n++) placed.push(await placeOrder(n));
    await expect.poll(() => simulator.inFlight(), { timeout: 20_000, interval: 10 }).toBeGreaterThan(0);
    const stopping = worker.stop('SIGTERM');
    for (let n = 12; n < 16; n++) placed.push(await placeOrder(n));
    expect(await stopping).toEqual({ code: 0, signal: null });
    expect(worker.logs.at(-1)).toMatchObject({ level: 'info', msg: 'stopped' });
    expect(await simulator.inFlight()).toBe(0);

    // Whatever the gateway captured before the end is recorded: no call was cut off.
    const captured = new Set((await simulator.ledger()).map((entry) => entry.reference));
    const { rows } = await database.pool.query<{ id: string }>("SELECT id FROM orders WHERE state = 'PAID'");
    expect(new Set(rows.map((row) => row.id))).toEqual(captured);

    await simulator.control({ latencyMs: 20 });
    const next = await startWorker();
    await expect.poll(() => paid(placed), { timeout: 30_000 }).toBe(placed.length);
    for (const { orderId } of placed) expect(await charges(orderId)).toHaveLength(1);
    expect(await next.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });
});
