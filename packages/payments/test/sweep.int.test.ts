import { inTransaction } from '@orders/db';
import { sql } from 'kysely';
import { beforeEach, describe, expect, it } from 'vitest';
import { sweepBatchMax } from '../src/mends.ts';
import { captured, scriptedGateway, useSystem } from './system.ts';

const system = useSystem();
beforeEach(() => system().clear());

describe('sweep', () => {
  it('an expired lease: its attempt is UNKNOWN and is asked about at once', async () => {
    const { claimed, dueOrder, loseLease, stored } = system();
    const orderId = await dueOrder();
    const first = await claimed(orderId);
    expect(await loseLease(orderId)).toMatchObject({ expiredLeases: 1 });
    expect(await stored(orderId)).toMatchObject({
      payment: { state: 'WAIT', lease_token: first.token + 1, unsettled_since: expect.any(Date) },
      attempts: [{ state: 'UNKNOWN' }],
    });
    expect(await claimed(orderId)).toMatchObject({ n: 1, action: 'ask' });
  });

  it('a lease that still runs is left alone', async () => {
    const { claimed, dueOrder, stored, sweepOnce } = system();
    const orderId = await dueOrder();
    await claimed(orderId);
    expect(await sweepOnce()).toEqual({
      expiredLeases: 0,
      lostEvents: 0,
      unpaidCaptures: 0,
      cancelled: 0,
      unreviewedOrders: 0,
      more: false,
    });
    expect(await stored(orderId)).toMatchObject({ payment: { state: 'LEASED' } });
  });

  it('an order whose event was lost, or marked processed without a payment, is accepted after the grace, once', async () => {
    const { accept, createOrder, db, stored, sweepOnce } = system();
    const lost = await createOrder();
    const marked = await createOrder();
    await sql`INSERT INTO processed_events (event_id, worker_id) VALUES (${marked.eventId}, 'payment-worker')`.execute(
      db,
    );
    expect(await sweepOnce()).toMatchObject({ lostEvents: 0 });
    const options = { lostEventGraceMs: 1 };
    const swept = await Promise.all([sweepOnce({ options }), sweepOnce({ options })]);
    expect(swept.reduce((sum, { lostEvents }) => sum + lostEvents, 0)).toBe(2);
    for (const { orderId, eventId } of [lost, marked]) {
      expect(await stored(orderId)).toMatchObject({
        order: { state: 'PAYMENT_PENDING', version: 2 },
        payment: { state: 'DUE', event_id: eventId },
      });
    }
    // The event arrives after all.
    expect(await accept([lost])).toMatchObject({ accepted: [], unchanged: [lost.orderId] });
  });

  it('one order that cannot be accepted does not keep the others from it', async () => {
    const { createOrder, db, stored, sweepOnce } = system();
    const broken = await createOrder();
    const lost = await createOrder();
    // Its version 2 is taken already: the order’s transition cannot be written.
    await sql`INSERT INTO order_events (order_id, version, event_id, tenant_id, type, data, occurred_at)
      VALUES (${broken.orderId}, 2, gen_random_uuid(), 'acme', 'x', '{}', now())`.execute(db);
    expect(await sweepOnce({ options: { lostEventGraceMs: 1 } })).toMatchObject({ lostEvents: 1 });
    expect(await stored(lost.orderId)).toMatchObject({ order: { state: 'PAYMENT_PENDING' } });
    expect(await stored(broken.orderId)).toMatchObject({ order: { state: 'CREATED' }, payment: undefined });
    await db.updateTable('orders').set({ state: 'FAILED' }).where('id', '=', broken.orderId).execute();
  });

  it('a captured payment whose order does not know: the order is paid', async () => {
    const { claimed, db, dueOrder, record, stored, sweepOnce } = system();
    const orderId = await dueOrder();
    await record(await claimed(orderId), captured());
    await db.updateTable('orders').set({ state: 'PAYMENT_PENDING' }).where('id', '=', orderId).execute();
    expect(await sweepOnce()).toMatchObject({ unpaidCaptures: 1 });
    expect(await stored(orderId)).toMatchObject({ order: { state: 'PAID' }, refunds: [] });
  });

  it('a payment to be cancelled for which nothing was sent is never claimed, and voided', async () => {
    const { claim, db, dueOrder, stored, sweepOnce } = system();
    const orderId = await dueOrder();
    await db
      .updateTable('payments')
      .set({ cancel_requested: true })
      .where('order_id', '=', orderId)
      .execute();
    expect((await claim()).attempts).toEqual([]);
    expect(await sweepOnce()).toMatchObject({ cancelled: 1 });
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'CANCELLED' },
      payment: { state: 'VOID' },
    });
  });

  it('a kind that cannot be looked for does not keep the later ones from their turn, and is told', async () => {
    const { db, dueOrder, stateOf, sweeper } = system();
    const orderId = await dueOrder();
    await cancelRequested([orderId]);
    const errors: string[] = [];
    // Only lost events ask for it.
    await sql`ALTER TABLE orders RENAME COLUMN created_at TO moved`.execute(db);
    try {
      const swept = await sweeper({ error: (_, message) => errors.push(message) }).sweep();
      expect(swept).toMatchObject({ lostEvents: 0, cancelled: 1 });
    } finally {
      await sql`ALTER TABLE orders RENAME COLUMN moved TO created_at`.execute(db);
    }
    expect(await stateOf(orderId)).toBe('CANCELLED');
    expect(errors).toEqual([expect.stringContaining('could not look for: order without a payment')]);
  });

  it('a whole batch that cannot be mended does not hide what is behind it', async () => {
    const { accept, createOrder, db, dueOrder, stateOf, sweeper } = system();
    const broken = await Promise.all(Array.from({ length: sweepBatchMax }, () => createOrder()));
    await accept(broken);
    const brokenIds = broken.map(({ orderId }) => orderId);
    // Their version 3 is taken already: no transition of theirs can be written.
    await sql`INSERT INTO order_events (order_id, version, event_id, tenant_id, type, data, occurred_at)
      SELECT unnest(${brokenIds}::uuid[]), 3, gen_random_uuid(), 'acme', 'x', '{}', now()`.execute(db);
    const orderId = await dueOrder();
    await cancelRequested([...brokenIds, orderId]);
    const errors: object[] = [];
    const { sweep } = sweeper({ error: (fields) => errors.push(fields) });
    expect(await sweep()).toMatchObject({ cancelled: 0, more: false });
    expect(errors).toHaveLength(sweepBatchMax);
    expect(await sweep()).toMatchObject({ cancelled: 1 });
    expect(await stateOf(orderId)).toBe('CANCELLED');
    // Then it begins anew, for what stood in the way may be mended.
    await sql`DELETE FROM order_events WHERE version = 3 AND type = 'x'`.execute(db);
    expect(await sweep()).toMatchObject({ cancelled: sweepBatchMax, more: true });
    expect(await sweep()).toMatchObject({ cancelled: 0, more: false });
  });

  it('a sweep that waits for locks does not keep an executor from stopping, and ends soon', async () => {
    const { claimed, db, dueOrder, startExecutor, stored } = system();
    const ids: string[] = [];
    for (const _ of [1, 2, 3]) {
      const orderId = await dueOrder();
      await claimed(orderId);
      ids.push(orderId);
    }
    const errors: string[] = [];
    const quiet = () => undefined;
    const logger = {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (_: object, m: string) => void errors.push(m),
    };
    await inTransaction(db, async (tx) => {
      await sql`SET LOCAL idle_in_transaction_session_timeout = 0`.execute(tx);
      await sql`SELECT FROM orders WHERE id = ANY(${ids}::uuid[]) FOR UPDATE`.execute(tx);
      await db
        .updateTable('payments')
        .set({ lease_until: new Date(0) })
        .where('state', '=', 'LEASED')
        .execute();
      const gateway = scriptedGateway({ charge: () => captured() });
      const executor = startExecutor(gateway, { logger, options: { drainTimeoutMs: 100 } });
      const waiting = async () =>
        (
          await sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(
            db,
          )
        ).rows.length;
      await expect.poll(waiting, { timeout: 10_000, interval: 20 }).toBe(1);
      await executor.stop();
      expect(errors.length).toBeLessThan(2); // of three waits, each far longer than the drain may take
      await expect.poll(() => errors.length, { timeout: 10_000, interval: 20 }).toBe(1);
      await expect.poll(waiting, { timeout: 10_000, interval: 20 }).toBe(0);
    });
    expect(errors).toHaveLength(1);
    expect((await stored(ids[1] ?? '')).payment).toMatchObject({ state: 'LEASED' });
  });
});

const cancelRequested = (orderIds: string[]) =>
  system()
    .db.updateTable('payments')
    .set({ cancel_requested: true })
    .where('order_id', 'in', orderIds)
    .execute();
