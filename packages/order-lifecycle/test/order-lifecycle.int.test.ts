import { createDatabase, inTransaction, migrateAll, type Tx } from '@orders/db';
import { createTestDatabase } from '@orders/dev-stack/testing';
import { ordersTopic } from '@orders/events';
import { createOutbox } from '@orders/outbox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrderLifecycle, type NewOrder, type OrderCommand } from '../src/index.ts';

const lifecycle = createOrderLifecycle({ outbox: createOutbox(), topic: ordersTopic.name });
let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: ReturnType<typeof createDatabase>;

beforeAll(async () => {
  testDatabase = await createTestDatabase({
    template: 'orders',
    migrate: async (url) => {
      await migrateAll(url);
    },
  });
  database = createDatabase({ url: testDatabase.url, lockTimeoutMs: 20_000 });
});
afterAll(async () => {
  await database?.close();
  await testDatabase?.drop();
});

const newOrder = (customerId = 'c-1'): NewOrder => ({
  tenantId: 'acme',
  customerId,
  currency: 'EUR',
  totalMinor: 500,
  paymentMethod: 'tok_visa',
  items: [{ sku: 'tea', name: 'Tea', quantity: 1, unitAmountMinor: 500 }],
  correlationId: 'req-1',
});

async function createOrder(): Promise<string> {
  const [change] = await inTransaction(database.db, (tx) => lifecycle.createOrders(tx, [newOrder()]));
  return (change as { order: { id: string } }).order.id;
}
const transition = (tx: Tx, orderId: string, command: OrderCommand) =>
  lifecycle.transitionOrder(tx, { orderId, command });
const run = (orderId: string, command: OrderCommand) =>
  inTransaction(database.db, (tx) => transition(tx, orderId, command));
const runAll = (orderIds: readonly string[], command: OrderCommand) =>
  inTransaction(database.db, (tx) =>
    lifecycle.transitionOrders(
      tx,
      orderIds.map((orderId) => ({ orderId, command })),
    ),
  );

async function stored(orderId: string) {
  const order = await database.db
    .selectFrom('orders')
    .select(['state', 'version', 'failure_code', 'failure_attempts'])
    .where('id', '=', orderId)
    .executeTakeFirst();
  const history = await database.db
    .selectFrom('order_events')
    .select(['version', 'type', 'event_id', 'data'])
    .where('order_id', '=', orderId)
    .orderBy('version')
    .execute();
  const outbox = await database.db
    .selectFrom('outbox')
    .select(['id', 'type', 'payload', 'key', 'headers'])
    .where('aggregateid', '=', orderId)
    .orderBy('seq')
    .execute();
  return { order, history, outbox };
}

/** A promise with its own resolve, for holding a transaction open. */
const gate = () => Promise.withResolvers<void>();

describe('the order lifecycle', () => {
  it('writes the order, its history and its outbox event of every transition together, versions gapless', async () => {
    const orderId = await createOrder();
    await run(orderId, { type: 'startPayment' });
    await run(orderId, { type: 'fail', failure: { code: 'insufficient_funds', attempts: 3 } });

    const { order, history, outbox } = await stored(orderId);
    expect(order).toEqual({
      state: 'FAILED',
      version: 3,
      failure_code: 'insufficient_funds',
      failure_attempts: 3,
    });
    expect(history.map((event) => [event.version, event.type])).toEqual([
      [1, 'order.created.v1'],
      [2, 'order.payment_pending.v1'],
      [3, 'order.failed.v1'],
    ]);
    expect(outbox.map((event) => [event.id, event.type, event.payload])).toEqual(
      history.map((event) => [event.event_id, event.type, event.data]),
    );
    expect(outbox[0]).toMatchObject({
      key: 'acme:c-1',
      headers: { 'correlation-id': 'req-1', 'tenant-id': 'acme' },
    });
  });

  it('refuses a command that the state does not allow, and changes nothing', async () => {
    const orderId = await createOrder();
    expect(await run(orderId, { type: 'markPaid' })).toMatchObject({
      outcome: 'refused',
      order: { version: 1 },
    });
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'CREATED', version: 1 },
      history: { length: 1 },
    });
  });

  it('says which order does not exist', async () => {
    const orderId = '01900000-0000-7000-8000-000000000000';
    await expect(run(orderId, { type: 'startPayment' })).rejects.toMatchObject({
      code: 'LIFECYCLE_ORDER_NOT_FOUND',
      message: expect.stringContaining(orderId),
    });
  });

  it('moves many orders in one call, some done and some refused', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, createOrder));
    await run(ids[3] as string, { type: 'cancel' });
    const results = await runAll(ids, { type: 'startPayment' });
    expect(results.map((result) => result.orderId)).toEqual(ids);
    expect(results.map((result) => result.outcome)).toEqual(
      ids.map((_, i) => (i === 3 ? 'refused' : 'done')),
    );
  });

  it('refuses two commands for one order in one call', async () => {
    const orderId = await createOrder();
    const twice = runAll([orderId, orderId], { type: 'startPayment' });
    await expect(twice).rejects.toMatchObject({ code: 'LIFECYCLE_ORDER_TWICE' });
    expect((await stored(orderId)).order).toMatchObject({ version: 1 });
  });

  it('lets calls over the same orders in opposite order run at once: none is a deadlock’s victim', async () => {
    const ids = await Promise.all(Array.from({ length: 30 }, createOrder));
    const racing = [1, 2, 3, 4].flatMap(() => [
      runAll(ids, { type: 'startPayment' }),
      runAll(ids.toReversed(), { type: 'startPayment' }),
    ]);
    const results = (await Promise.all(racing)).flat();
    expect(results.filter((result) => result.outcome === 'done')).toHaveLength(ids.length);
  });
});

describe('Test 3: Transactional Outbox', () => {
  it('a rollback leaves neither order nor event', async () => {
    let orderId = '';
    const rollback = inTransaction(database.db, async (tx) => {
      const [change] = await lifecycle.createOrders(tx, [newOrder()]);
      orderId = change?.order.id ?? '';
      await transition(tx, orderId, { type: 'startPayment' });
      throw new Error('the caller gives up');
    });
    await expect(rollback).rejects.toThrow('the caller gives up');
    expect(orderId).not.toBe('');
    expect(await stored(orderId)).toEqual({ order: undefined, history: [], outbox: [] });
  });

  it('a rollback of a transition leaves the order and its events as they were', async () => {
    const orderId = await createOrder();
    const before = await stored(orderId);
    const rollback = inTransaction(database.db, async (tx) => {
      await transition(tx, orderId, { type: 'startPayment' });
      throw new Error('the caller gives up');
    });
    await expect(rollback).rejects.toThrow('the caller gives up');
    expect(await stored(orderId)).toEqual(before);
  });
});

describe('Test 4: Optimistic Locking', () => {
  it('two concurrent updates: one wins, the other re-reads and decides again', async () => {
    const orderId = await createOrder();
    await run(orderId, { type: 'startPayment' });
    const [written, release] = [gate(), gate()];

    const winner = inTransaction(database.db, async (tx) => {
      const result = await transition(tx, orderId, { type: 'cancel' });
      written.resolve();
      await release.promise;
      return result;
    });
    await written.promise;
    // Reads PAYMENT_PENDING version 2, for the winner has not committed; then waits for the winner's row lock.
    const loser = run(orderId, { type: 'markPaid' });
    await untilOneWaitsForALock();
    release.resolve();

    expect(await winner).toMatchObject({ outcome: 'done', order: { state: 'CANCELLED', version: 3 } });
    expect(await loser).toMatchObject({
      outcome: 'refused',
      order: { state: 'CANCELLED', version: 3 },
      reason: 'markPaid is not possible in state CANCELLED',
    });
    const { order, history } = await stored(orderId);
    expect(order).toMatchObject({ state: 'CANCELLED', version: 3 });
    expect(history.map((event) => event.version)).toEqual([1, 2, 3]);
  });

  it('an update that waited for one that rolls back is written on the state it had read', async () => {
    const orderId = await createOrder();
    const [written, release] = [gate(), gate()];
    const first = inTransaction(database.db, async (tx) => {
      await transition(tx, orderId, { type: 'cancel' });
      written.resolve();
      await release.promise;
      throw new Error('rolled back');
    });
    await written.promise;
    const second = run(orderId, { type: 'startPayment' });
    await untilOneWaitsForALock();
    release.resolve();

    await expect(first).rejects.toThrow('rolled back');
    expect(await second).toMatchObject({ outcome: 'done', order: { state: 'PAYMENT_PENDING', version: 2 } });
    expect((await stored(orderId)).history).toMatchObject([{ version: 1 }, { version: 2 }]);
  });

  it('many concurrent updates of one order leave one gapless chain of events', async () => {
    const orderId = await createOrder();
    const commands: OrderCommand[] = [
      { type: 'startPayment' },
      { type: 'markPaid' },
      { type: 'requestRefund' },
      { type: 'partlyRefund', amountMinor: 100 },
    ];
    const racing = Array.from({ length: 6 }, () => commands).flat();
    await Promise.all(racing.map((command) => run(orderId, command)));

    const { order, history, outbox } = await stored(orderId);
    expect(history.map((event) => event.version)).toEqual(history.map((_, i) => i + 1));
    expect(order?.version).toBe(history.length);
    expect(outbox.map((event) => event.id)).toEqual(history.map((event) => event.event_id));
  });
});

/** Waits until a session of this database waits for another's row lock. */
async function untilOneWaitsForALock(): Promise<void> {
  await expect
    .poll(
      async () =>
        (
          await database.pool.query(
            `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
          )
        ).rowCount,
      { timeout: 20_000 },
    )
    .toBe(1);
}
