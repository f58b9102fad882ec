import { sql } from 'kysely';
import { beforeEach, describe, expect, it } from 'vitest';
import { captured, useSystem } from './system.ts';

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
    expect(await sweepOnce()).toEqual({ expiredLeases: 0, lostEvents: 0, unpaidCaptures: 0, cancelled: 0 });
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
});
