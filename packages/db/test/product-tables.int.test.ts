import { addDeadLetter, insertProcessed } from '@orders/idempotent-consumer';
import { createOutbox, type OutboxEvent } from '@orders/outbox';
import { describe, expect, it } from 'vitest';
import { inTransaction } from '../src/index.ts';
import { orderRow, useDatabase } from './databases.ts';

const { open } = useDatabase();
const uniqueViolation = '23505';
const checkViolation = '23514';

describe('one transaction for all', () => {
  it('is what the libraries take, and their rows stand or fall with ours', async () => {
    const { db } = open();
    const eventId = crypto.randomUUID();
    const order = orderRow();
    const event: OutboxEvent = {
      id: eventId,
      topic: 'orders.events',
      key: 'acme:c-1',
      type: 'order.created.v1',
      aggregateType: 'order',
      orderingKey: order.id,
      payload: { orderId: order.id },
    };
    const write = (end: () => void) =>
      inTransaction(db, async (tx) => {
        expect(await insertProcessed(tx, 'worker', [eventId])).toEqual([eventId]);
        await tx.insertInto('orders').values(order).execute();
        await addDeadLetter(tx, {
          eventId,
          consumerName: 'worker',
          topic: null,
          partition: null,
          offset: null,
          key: null,
          value: null,
          headers: {},
          payload: null,
          reason: 'declined',
          attempts: 3,
        });
        await createOutbox().add(tx, event);
        end();
      });
    // Read by the names and types that this package gives the libraries' columns.
    const rows = async () => ({
      outbox: await db
        .selectFrom('outbox')
        .select(['id', 'topic', 'key', 'type', 'aggregatetype', 'aggregateid', 'payload', 'published_at'])
        .where('aggregateid', '=', order.id)
        .execute(),
      inbox: await db
        .selectFrom('processed_events')
        .select(['worker_id', 'topic', 'partition', 'offset'])
        .where('event_id', '=', eventId)
        .execute(),
      deadLetters: await db
        .selectFrom('dead_letter_events')
        .select(['worker_id', 'reason', 'attempts', 'round', 'state', 'partition', 'offset', 'key', 'value'])
        .where('event_id', '=', eventId)
        .execute(),
    });

    const rolledBack = write(() => {
      throw new Error('no');
    });
    await expect(rolledBack).rejects.toThrow('no');
    expect(await rows()).toEqual({ outbox: [], inbox: [], deadLetters: [] });

    await write(() => undefined);
    expect(await rows()).toMatchObject({
      outbox: [{ id: eventId, topic: 'orders.events', payload: { orderId: order.id }, published_at: null }],
      inbox: [{ worker_id: 'worker', topic: null }],
      deadLetters: [{ worker_id: 'worker', reason: 'declined', attempts: 3, round: 1, state: 'DEAD' }],
    });
  });

  it('a pool is not a transaction: the compiler says so', () => {
    const { db } = open();
    // @ts-expect-error a Kysely instance where a transaction is wanted
    const notCalled = () => createOutbox().add(db, []);
    expect(notCalled).toBeTypeOf('function');
  });
});

describe('the tables of payments', () => {
  const payment = (order_id: string = crypto.randomUUID()) => ({
    id: crypto.randomUUID(),
    order_id,
    tenant_id: 'acme',
    customer_id: 'c-1',
    event_id: 'e-1',
    correlation_id: 'req-1',
    amount_minor: 500,
    currency: 'EUR',
    payment_method: 'tok_visa',
    state: 'DUE' as const,
  });
  const attempt = (payment_id: string, n: number, state: 'SENT' | 'UNKNOWN' | 'SUCCEEDED' | 'DECLINED') => ({
    payment_id,
    n,
    state,
    idempotency_key: `${payment_id}:${n}`,
    amount_minor: 500,
    currency: 'EUR',
    fingerprint: 'f',
  });

  it('hold one payment per order', async () => {
    const { db } = open();
    const first = payment();
    await db.insertInto('payments').values(first).execute();
    const second = db.insertInto('payments').values(payment(first.order_id)).execute();
    await expect(second).rejects.toMatchObject({ code: uniqueViolation });
  });

  it.each(['SENT', 'UNKNOWN', 'SUCCEEDED'] as const)(
    'hold no second attempt beside one that is %s, be it open or won',
    async (state) => {
      const { db } = open();
      const paymentId = crypto.randomUUID();
      const insert = (n: number, of: typeof state | 'DECLINED') =>
        db
          .insertInto('payment_attempts')
          .values(attempt(paymentId, n, of))
          .execute();
      await insert(1, 'DECLINED');
      await insert(2, state);
      for (const next of ['SENT', 'UNKNOWN', 'SUCCEEDED'] as const) {
        await expect(insert(3, next)).rejects.toMatchObject({
          code: uniqueViolation,
          constraint: 'payment_attempts_one_open',
        });
      }
    },
  );

  it('hold one refund per charge', async () => {
    const { db } = open();
    const refund = (key: string) => ({
      id: crypto.randomUUID(),
      payment_id: crypto.randomUUID(),
      order_id: crypto.randomUUID(),
      charge_id: 'ch-1',
      idempotency_key: key,
      amount_minor: 500,
      currency: 'EUR',
      reason: 'cancelled',
    });
    await db.insertInto('refunds').values(refund('r-1')).execute();
    const second = db.insertInto('refunds').values(refund('r-2')).execute();
    await expect(second).rejects.toMatchObject({
      code: uniqueViolation,
      constraint: 'refunds_charge_id_key',
    });
  });

  it('hold no amount that is not positive', async () => {
    const { db } = open();
    for (const amount of [0, -1]) {
      const order = { ...orderRow(), total_minor: amount };
      await expect(db.insertInto('orders').values(order).execute()).rejects.toMatchObject({
        code: checkViolation,
      });
    }
  });
});
