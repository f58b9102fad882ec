import { type ServiceProcess, waitFor } from '@orders/dev-stack';
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
  expect(await runOrdersctl(owner(), 'grants', 'apply', '--exact')).toEqual(done);
  expect(await runOrdersctl(system.kafkaEnvironment('orders-admin'), 'topics', 'apply')).toMatchObject({
    status: 0,
    answer: {
      topics: [
        { name: 'orders.events', partitions: 12, outcome: 'created' },
        { name: 'orders.dead-letters', partitions: 1, outcome: 'created' },
      ],
    },
  });
  const key = await runOrdersctl(owner(), 'keys', 'create', '--tenant', 'demo', '--name', 'first');
  apiKey = key.answer.key as string;
}, 180_000);
afterAll(() => system?.close());

/** A broker that has just started may have a consumer try again; nobody is refused anything. */
const refusalsOf = ({ logs }: ServiceProcess): unknown[] =>
  logs.filter((line) => /denied|authori[sz]/i.test(JSON.stringify(line)));

type Role = 'order_api' | 'outbox_relay' | 'payment_worker' | 'orders_owner';
const query = async (role: Role, text: string) => {
  const client = new pg.Client({ connectionString: system.urlOf(role) });
  await client.connect();
  return client.query(text).finally(() => client.end());
};

describe('everybody with an identity of his own, over TLS', () => {
  it.each([
    ['kafkajs', 'scram-sha-512'],
    ['platformatic', 'scram-sha-256'],
  ])(
    'an order ends PAID, another FAILED, an unreadable record as a dead letter; the relay publishes with %s and %s',
    { timeout: 60_000 },
    async (PUBLISHER, KAFKA_SASL_MECHANISM) => {
      const services = [
        await system.start('order-api'),
        await system.start('outbox-relay', { PUBLISHER, KAFKA_SASL_MECHANISM }),
        await system.start('payment-worker', { KAFKA_SASL_MECHANISM }),
      ];
      await sendUnreadable(`unreadable, ${PUBLISHER}`);
      const client = system.client(apiKey);
      const paid = await client.placeOrder({}, `${PUBLISHER}-paid`);
      expect(services.flatMap(refusalsOf)).toEqual([]);
      expect(paid.status).toBe(201);
      await client.orderInState(paid.body.id, 'PAID');
      await system.simulator.control({ mode: 'decline-soft' });
      const failed = await client.placeOrder({}, `${PUBLISHER}-failed`);
      await client.orderInState(failed.body.id, 'FAILED');
      await system.simulator.control({ mode: 'normal' });
      await waitFor('the dead letters', async () => {
        const { rows } = await query(
          'payment_worker',
          `SELECT FROM dead_letter_events WHERE value = 'unreadable, ${PUBLISHER}'
             OR event_id IN (SELECT event_id::text FROM order_events WHERE order_id = '${failed.body.id}')`,
        );
        return rows.length === 2;
      });
      for (const service of services) expect(await service.stop()).toEqual({ code: 0, signal: null });
      expect(services.flatMap(refusalsOf)).toEqual([]);
    },
  );

  const sendUnreadable = async (value: string) => {
    const producer = system.clientOf('admin').producer();
    await producer.connect();
    await producer.send({ topic: 'orders.events', messages: [{ value }] });
    await producer.disconnect();
  };
});

describe('the rights in the database', () => {
  it.each([
    ['order_api', 'DELETE FROM idempotency_keys WHERE expires_at < now()'],
    ['payment_worker', 'DELETE FROM processed_events WHERE false'],
    ['payment_worker', 'DELETE FROM dead_letter_events WHERE false'],
  ] as const)('%s may, for retention: %s', async (role, text) => {
    await expect(query(role, text)).resolves.toMatchObject({ command: 'DELETE' });
  });

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
    ['outbox_relay', 'DROP TABLE orders'],
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

  it('the relay makes partitions, and its owner’s role has them, which a migration of the owner’s can still alter', async () => {
    const { rows } = await query(
      'orders_owner',
      `SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relname ~ '^outbox_p\\d' AND relkind = 'r'`,
    );
    expect(rows.length).toBeGreaterThan(1);
    expect(new Set(rows.map(({ owner: name }) => name))).toEqual(new Set(['outbox_owner']));
    await query(
      'orders_owner',
      'ALTER TABLE outbox ADD COLUMN note text; ALTER TABLE outbox DROP COLUMN note',
    );
  });

  it('with the relay’s rights an operator pauses it, sees to its dead letters and adopts a restored outbox', async () => {
    const relay = { DATABASE_URL: system.urlOf('outbox_relay') };
    for (const args of [['pause'], ['status'], ['resume'], ['adopt-restored', '--yes']])
      expect(await runOrdersctl(relay, 'relay', ...args)).toEqual(done);
    const unserialisable = `gen_random_uuid(), 3, 'orders.events', 'k', 't', 'order', 'a', '{}', '{"header": 1}'`;
    await query(
      'order_api',
      `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers) VALUES (${unserialisable})`,
    );
    const running = await system.start('outbox-relay');
    const open = () =>
      waitFor('an open dead letter', async () => {
        const { answer } = await runOrdersctl(relay, 'dead-letters', 'list', '--of', 'outbox');
        return (answer.deadLetters as { id: string }[]).at(0)?.id;
      });
    expect(
      await runOrdersctl(relay, 'dead-letters', 'replay', '--id', String(await open()), '--reason', 'again'),
    ).toEqual(done);
    expect(
      await runOrdersctl(relay, 'dead-letters', 'discard', '--id', String(await open()), '--reason', 'test'),
    ).toEqual(done);
    await running.stop();
    expect(refusalsOf(running)).toEqual([]);
  });

  it('applied again they are the same; with --exact what somebody has added is gone, without it nothing is taken away', async () => {
    await query('orders_owner', 'GRANT ALL ON orders TO order_api, PUBLIC');
    expect(await runOrdersctl(owner(), 'migrate')).toMatchObject({ status: 0, answer: { applied: [] } });
    expect(await runOrdersctl(owner(), 'grants', 'apply')).toEqual(done);
    await expect(query('order_api', 'DELETE FROM orders WHERE false')).resolves.toMatchObject({
      rowCount: 0,
    });
    const twice = [1, 2].map(() => runOrdersctl(owner(), 'grants', 'apply', '--exact'));
    expect(await Promise.all(twice)).toEqual([done, done]);
    await expect(query('order_api', 'DELETE FROM orders WHERE false')).rejects.toMatchObject({
      code: '42501',
    });
    await query('order_api', 'SELECT FROM orders');
  });

  it('a twin of a role takes its place, as docs/deploy.md rotates it, also while the first may not log in', {
    timeout: 60_000,
  }, async () => {
    const apps = {
      'order-api': 'order_api',
      'outbox-relay': 'outbox_relay',
      'payment-worker': 'payment_worker',
    } as const;
    const services: ServiceProcess[] = [];
    for (const [app, role] of Object.entries(apps) as [keyof typeof apps, Role][]) {
      const twin = { name: `${role}_b`, password: 'another' };
      await system.administer(
        `CREATE ROLE ${twin.name} LOGIN PASSWORD '${twin.password}' IN ROLE ${role}`,
        `ALTER ROLE ${role} NOLOGIN`,
      );
      services.push(await system.start(app, { DATABASE_URL: system.urlOf(role, twin) }));
    }
    const { body } = await system.client(apiKey).placeOrder({}, 'twins');
    await system.client(apiKey).orderInState(body.id, 'PAID');
    for (const service of services) await service.stop();
    expect(services.flatMap(refusalsOf)).toEqual([]);
    await system.administer(...Object.values(apps).map((role) => `ALTER ROLE ${role} LOGIN`));
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

describe.concurrent('PostgreSQL refuses, and ordersctl says why', () => {
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

describe('a service that is refused ends at its start or goes on trying, and says who it is and what to do', () => {
  it.each([
    ['order-api', 'outbox_relay', /^the database role outbox_relay lacks .*INSERT on orders.*grants apply/],
    ['outbox-relay', 'payment_worker', /^the database role payment_worker lacks membership of outbox_owner/],
    ['payment-worker', 'order_api', /^the database role order_api lacks .*SELECT on payments.*grants apply/],
  ] as const)('%s with the database role %s', async (app, role, message) => {
    const service = await system.startRefused(app, { DATABASE_URL: system.urlOf(role) });
    const err = { code: 'DB_RIGHTS_MISSING', message: expect.stringMatching(message) };
    const line = expect.objectContaining({ level: 'error', err: expect.objectContaining(err) });
    await expect.poll(() => service.logs, { timeout: 15_000 }).toContainEqual(line);
    expect(await service.exited).toEqual({ code: 1, signal: null });
  });

  const wrongPassword = { KAFKA_SASL_PASSWORD: 'wr0ng' };
  const otherName = () => ({ KAFKA_BROKERS: `127.0.0.1:${system.brokers[0]?.split(':')[1]}` });
  const plain = {
    KAFKA_TLS: undefined,
    KAFKA_CA_FILE: undefined,
    KAFKA_SASL_USERNAME: undefined,
    KAFKA_SASL_PASSWORD: undefined,
  };
  const publishers = ['kafkajs', 'platformatic'] as const;
  const relays = publishers.flatMap((PUBLISHER) => {
    const relay = (what: string, change: () => Record<string, string | undefined>, advice: RegExp) =>
      ['outbox-relay', `${what} (${PUBLISHER})`, () => ({ PUBLISHER, ...change() }), advice] as const;
    return [
      relay('a wrong password', () => wrongPassword, /KAFKA_SASL_PASSWORD/),
      relay('another authority', () => ({ KAFKA_CA_FILE: system.strangersCaFile }), /KAFKA_CA_FILE/),
      relay('another name of the server', otherName, /KAFKA_BROKERS/),
      relay('plain text', () => plain, /KAFKA_TLS=true/),
    ];
  });
  it.concurrent.each([
    ...relays,
    ['payment-worker', 'a wrong password', () => wrongPassword, /KAFKA_SASL_PASSWORD/],
    ['payment-worker', 'no right to read', () => system.kafkaEnvironment('outbox-relay'), /its rights/],
    ['payment-worker', 'no right on the topic', () => ({ ORDERS_TOPIC: 'another' }), /its rights/],
  ] as const)('%s: %s', { timeout: 60_000 }, (app, _, change, advice) => isAdvised(app, change(), advice));

  // One after the other: two relays would share the buckets, and only one would meet the order.
  it.each(publishers)('outbox-relay: no right to write (%s)', { timeout: 60_000 }, (PUBLISHER) =>
    isAdvised('outbox-relay', { PUBLISHER, ...system.kafkaEnvironment('payment-worker') }, /its rights/),
  );

  const isAdvised = async (
    app: 'outbox-relay' | 'payment-worker',
    change: Record<string, string | undefined>,
    advice: RegExp,
  ) => {
    const service = await system.startRefused(app, change);
    const principal = 'KAFKA_SASL_USERNAME' in change ? (change.KAFKA_SASL_USERNAME ?? 'ANONYMOUS') : app;
    const line = expect.objectContaining({ principal, advice: expect.stringMatching(advice) });
    try {
      await expect.poll(() => service.logs, { timeout: 50_000 }).toContainEqual(line);
      expect(JSON.stringify(service.logs)).not.toContain('wr0ng');
    } finally {
      expect(await service.stop()).toEqual({ code: 0, signal: null });
    }
  };

  it('no order was lost meanwhile', { timeout: 60_000 }, async () => {
    const services = [await system.start('outbox-relay'), await system.start('payment-worker')];
    await waitFor('the order to be PAID', async () => {
      const { rows } = await query('payment_worker', `SELECT state FROM orders WHERE id = '${waiting}'`);
      return rows[0]?.state === 'PAID';
    });
    for (const service of services) await service.stop();
  });

  let waiting: string;
  beforeAll(async () => {
    const api = await system.start('order-api');
    waiting = (await system.client(apiKey).placeOrder({}, 'waiting')).body.id;
    await api.stop();
  });
});

describe('Kafka refuses', { timeout: 60_000 }, () => {
  const port = () => system.brokers[0]?.split(':')[1];
  it.concurrent.each([
    ['plain text', () => ({ KAFKA_TLS: 'false' }), /cannot be reached.*ANONYMOUS.*KAFKA_TLS=true/],
    [
      'a server of another authority',
      () => ({ KAFKA_CA_FILE: system.strangersCaFile }),
      /certificate.*KAFKA_CA_FILE/,
    ],
    ['a server by another name', () => ({ KAFKA_BROKERS: `127.0.0.1:${port()}` }), /certificate's altnames/],
    ['a wrong password', () => ({ KAFKA_SASL_PASSWORD: 'wrong' }), /[Aa]uthentication failed.*orders-admin/],
    [
      'a principal that it does not know',
      () => ({ KAFKA_SASL_USERNAME: 'nobody' }),
      /[Aa]uthentication failed.*nobody.*KAFKA_SASL_USERNAME/,
    ],
    [
      'who may not create topics',
      () => ({ ...system.kafkaEnvironment('outbox-relay'), ORDERS_TOPIC: 'other' }),
      /authori[sz].*outbox-relay.*its rights/,
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

  /** Whether the topic was read, or why not. */
  const read = async (principal: 'admin' | 'outbox-relay' | 'payment-worker', groupId: string) => {
    const consumer = system
      .clientOf(principal)
      .consumer({ groupId, maxWaitTimeInMs: 100, retry: { retries: 1 } });
    await consumer.connect();
    try {
      const fetched = new Promise<string>((resolve, reject) => {
        consumer.on('consumer.fetch', () => resolve('read'));
        consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      });
      await consumer.subscribe({ topic: 'orders.events' });
      await consumer.run({ eachMessage: async () => undefined });
      return await fetched;
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
    await expect.poll(() => read('admin', groupId), { timeout: 30_000 }).toBe('read');
    // What kafkajs makes of GROUP_AUTHORIZATION_FAILED.
    expect(await read(principal, groupId)).toBe('Failed to find group coordinator');
  });
  it('the relay that reads, and has somehow got a group', async () => {
    await system.allowGroup('outbox-relay', 'somehow');
    await expect.poll(() => read('admin', 'somehow'), { timeout: 30_000 }).toBe('read');
    expect(await read('outbox-relay', 'somehow')).toMatch(/^Not authorized to access topics/);
  });
  it('the worker that writes', async () => {
    const producer = system.clientOf('payment-worker').producer();
    await producer.connect();
    const sent = producer.send({ topic: 'orders.events', messages: [{ value: 'forged' }] });
    await expect(sent).rejects.toThrow(/[Nn]ot authorized/);
    await producer.disconnect();
  });
});
