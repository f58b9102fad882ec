import type { ServiceProcess } from '@orders/dev-stack';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOrdersctl, type SecuredSystem, startSecuredSystem } from './secured-system.ts';

let system: SecuredSystem;
let apiKey: string;

const done = { status: 0, answer: expect.anything() };
const owner = () => ({ DATABASE_URL: system.urlOf('orders_owner') });

beforeAll(async () => {
  system = await startSecuredSystem();
  expect(await runOrdersctl(owner(), 'migrate')).toEqual(done);
  expect(await runOrdersctl(owner(), 'grants', 'apply')).toEqual(done);
  expect(await runOrdersctl(system.kafkaEnvironment('orders-admin'), 'topics', 'apply')).toMatchObject({
    status: 0,
    answer: { topics: [{ name: 'orders.events', partitions: 12, outcome: 'created' }] },
  });
  const key = await runOrdersctl(owner(), 'keys', 'create', '--tenant', 'demo', '--name', 'first');
  apiKey = key.answer.key as string;
}, 60_000);
afterAll(() => system?.close());

/** A broker that has just started may have a consumer try again; nobody is refused anything. */
const refusalsOf = ({ logs }: ServiceProcess): unknown[] =>
  logs.filter((line) => /denied|authori[sz]/i.test(JSON.stringify(line)));

describe('everybody with an identity of his own, over TLS', () => {
  it.each(['kafkajs', 'platformatic'])(
    'an order ends PAID, another FAILED; the relay publishes with %s',
    { timeout: 60_000 },
    async (PUBLISHER) => {
      const services = [
        await system.start('order-api'),
        await system.start('outbox-relay', { PUBLISHER }),
        await system.start('payment-worker'),
      ];
      const client = system.client(apiKey);
      const paid = await client.placeOrder({}, `${PUBLISHER}-paid`);
      expect(services.flatMap(refusalsOf)).toEqual([]);
      expect(paid.status).toBe(201);
      await client.orderInState(paid.body.id, 'PAID');
      await system.simulator.control({ mode: 'decline-soft' });
      const failed = await client.placeOrder({}, `${PUBLISHER}-failed`);
      await client.orderInState(failed.body.id, 'FAILED');
      await system.simulator.control({ mode: 'normal' });
      for (const service of services) expect(await service.stop()).toEqual({ code: 0, signal: null });
      expect(services.flatMap(refusalsOf)).toEqual([]);
    },
  );
});

describe('the rights in the database', () => {
  const query = async (
    role: 'order_api' | 'outbox_relay' | 'payment_worker' | 'orders_owner',
    text: string,
  ) => {
    const client = new pg.Client({ connectionString: system.urlOf(role) });
    await client.connect();
    return client.query(text).finally(() => client.end());
  };

  it.each([
    ['order_api', "UPDATE orders SET state = 'PAID'"],
    ['order_api', 'DELETE FROM orders'],
    ['order_api', 'SELECT FROM payments'],
    ['order_api', 'SELECT FROM outbox'],
    ['order_api', 'UPDATE outbox SET published_at = now()'],
    ['order_api', 'INSERT INTO api_keys (id) VALUES (gen_random_uuid())'],
    ['order_api', 'UPDATE idempotency_keys SET route = route'],
    ['order_api', 'SELECT FROM dead_letter_events'],
    ['order_api', 'DROP TABLE orders'],
    ['order_api', 'CREATE TABLE mine (id int)'],
    ['outbox_relay', 'SELECT FROM orders'],
    ['outbox_relay', 'SELECT FROM api_keys'],
    ['outbox_relay', 'INSERT INTO orders (id) VALUES (gen_random_uuid())'],
    ['outbox_relay', 'UPDATE payments SET state = state'],
    ['outbox_relay', 'INSERT INTO processed_events VALUES (1, 1)'],
    ['outbox_relay', 'DELETE FROM outbox_migrations'],
    ['outbox_relay', 'UPDATE app_schema SET min_app_schema = 0'],
    ['payment_worker', 'SELECT FROM api_keys'],
    ['payment_worker', 'SELECT FROM idempotency_keys'],
    ['payment_worker', 'INSERT INTO orders (id) VALUES (gen_random_uuid())'],
    ['payment_worker', 'UPDATE order_events SET version = version'],
    ['payment_worker', 'DELETE FROM payments'],
    ['payment_worker', 'UPDATE refunds SET id = id'],
    ['payment_worker', 'SELECT FROM outbox'],
    ['payment_worker', 'TRUNCATE outbox'],
    ['payment_worker', 'ALTER TABLE payments ADD COLUMN x int'],
  ] as const)('%s may not: %s', async (role, text) => {
    await expect(query(role, text)).rejects.toMatchObject({
      code: '42501',
      message: expect.stringMatching(/permission denied|must be owner/),
    });
  });

  it('the relay makes partitions, and its owner’s role has them; it can be paused with its own rights', async () => {
    const { rows } = await query(
      'orders_owner',
      `SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relname ~ '^outbox_p\\d' AND relkind = 'r'`,
    );
    expect(rows.length).toBeGreaterThan(1);
    expect(new Set(rows.map(({ owner }) => owner))).toEqual(new Set(['outbox_owner']));
    const relay = { DATABASE_URL: system.urlOf('outbox_relay') };
    for (const command of ['pause', 'status', 'resume'])
      expect(await runOrdersctl(relay, 'relay', command)).toEqual(done);
  });

  it('applied again they are the same, and what somebody has added is gone', async () => {
    await query('orders_owner', 'GRANT ALL ON orders TO order_api, PUBLIC');
    expect(await runOrdersctl(owner(), 'migrate')).toMatchObject({ status: 0, answer: { applied: [] } });
    const twice = [1, 2].map(() => runOrdersctl(owner(), 'grants', 'apply'));
    expect(await Promise.all(twice)).toEqual([done, done]);
    await expect(query('order_api', 'DELETE FROM orders')).rejects.toMatchObject({ code: '42501' });
    await query('order_api', 'SELECT FROM orders');
  });

  it('a role that is missing is named, with the statement that makes it', async () => {
    const { status, answer } = await runOrdersctl(owner(), 'grants', 'apply', '--worker', 'nobody_yet');
    expect(status).toBe(1);
    expect(answer.error).toMatchObject({
      code: 'DB_ROLE_MISSING',
      message: expect.stringContaining(`CREATE ROLE "nobody_yet" LOGIN PASSWORD`),
    });
  });
});

describe('PostgreSQL refuses, and ordersctl says why', () => {
  const verify = (file: string) => `sslmode=verify-full&sslrootcert=${file}`;
  it.each([
    ['plain text', () => ({ query: 'sslmode=disable' }), /no encryption/],
    ['a server of another authority', () => ({ query: verify(system.strangersCaFile) }), /certificate/],
    ['an authority that is not there', () => ({ query: verify('/none.crt') }), /\/none\.crt.*ENOENT/],
    ['a server by another name', () => ({ host: '127.0.0.1' }), /certificate's altnames/],
    ['a wrong password', () => ({ password: 'wrong' }), /password authentication failed/],
  ])('%s', async (_, change, message) => {
    const env = { DATABASE_URL: system.urlOf('outbox_relay', change()) };
    const { status, answer } = await runOrdersctl(env, 'relay', 'status');
    expect(status).toBe(1);
    expect(answer.error?.message).toMatch(message);
    expect(JSON.stringify(answer)).not.toContain('wrong');
  });
});

describe('Kafka refuses', { timeout: 60_000 }, () => {
  const port = () => system.brokers[0]?.split(':')[1];
  it.each([
    ['plain text', () => ({ KAFKA_TLS: 'false' }), /cannot be reached/],
    ['a server of another authority', () => ({ KAFKA_CA_FILE: system.strangersCaFile }), /certificate/],
    ['a server by another name', () => ({ KAFKA_BROKERS: `127.0.0.1:${port()}` }), /certificate's altnames/],
    ['a wrong password', () => ({ KAFKA_SASL_PASSWORD: 'wrong' }), /[Aa]uthentication failed/],
    [
      'a principal that it does not know',
      () => ({ KAFKA_SASL_USERNAME: 'nobody' }),
      /[Aa]uthentication failed/,
    ],
    [
      'who may not create topics',
      () => ({ ...system.kafkaEnvironment('outbox-relay'), ORDERS_TOPIC: 'other' }),
      /authori[sz]ed/,
    ],
  ])('%s, and ordersctl says why', async (_, change, message) => {
    const env: Record<string, string> = { ...system.kafkaEnvironment('orders-admin'), ...change() };
    if (env.KAFKA_TLS === 'false')
      for (const name of ['KAFKA_CA_FILE', 'KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD']) delete env[name];
    const { status, answer } = await runOrdersctl(env, 'topics', 'apply');
    expect(status).toBe(1);
    expect(answer.error?.message).toMatch(message);
    expect(JSON.stringify(answer)).not.toContain('wrong');
  });

  /** Whether the group was joined, or why not. */
  const join = async (principal: 'admin' | 'outbox-relay' | 'payment-worker', groupId: string) => {
    const consumer = system.clientOf(principal).consumer({ groupId, retry: { retries: 1 } });
    await consumer.connect();
    try {
      const joined = new Promise<string>((resolve, reject) => {
        consumer.on('consumer.group_join', () => resolve('joined'));
        consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      });
      await consumer.subscribe({ topic: 'orders.events' });
      await consumer.run({ eachMessage: async () => undefined });
      return await joined;
    } catch (error) {
      return (error as Error).message;
    } finally {
      await consumer.disconnect();
    }
  };
  it.each([
    ['the relay that reads', 'outbox-relay', 'payment-worker'],
    ['the worker in another group', 'payment-worker', 'another'],
  ] as const)('%s', async (_, principal, groupId) => {
    // A broker that has just started is still loading its coordinator.
    await expect.poll(() => join('admin', groupId), { timeout: 30_000 }).toBe('joined');
    // What kafkajs makes of GROUP_AUTHORIZATION_FAILED.
    expect(await join(principal, groupId)).toBe('Failed to find group coordinator');
  });
  it('the worker that writes', async () => {
    const producer = system.clientOf('payment-worker').producer();
    await producer.connect();
    const sent = producer.send({ topic: 'orders.events', messages: [{ value: 'forged' }] });
    await expect(sent).rejects.toThrow(/[Nn]ot authorized/);
    await producer.disconnect();
  });
});
