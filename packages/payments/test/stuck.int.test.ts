import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Gateway, PaymentExecutor, PaymentOptions } from '../src/index.ts';
import { captured, scriptedGateway, useSystem } from './system.ts';

const system = useSystem();
let executor: PaymentExecutor | undefined;
let logged: Record<string, unknown>[] = [];
beforeEach(() => system().clear());
afterEach(async () => {
  await executor?.stop();
  logged = [];
});

/** An executor whose leases run out quickly; its errors are kept. */
function start(gateway: Gateway, options: Partial<PaymentOptions> = {}) {
  const quiet = () => undefined;
  const error = (fields: object, msg: string) => void logged.push({ ...fields, msg });
  executor = system().startExecutor(gateway, {
    options: { leaseDurationMs: 500, paymentDeadlineMs: 400, ...options },
    logger: { debug: quiet, info: quiet, warn: quiet, error },
  });
}
const patient = { timeout: 15_000, interval: 20 };
const paymentBecomes = (orderId: string, state: string) =>
  expect.poll(async () => (await system().stored(orderId)).payment?.state, patient).toBe(state);

describe('nothing gets stuck', () => {
  it('an open attempt whose charge is being refunded already: payment and order in REVIEW, with a break', async () => {
    const { db, dueOrder, stored } = system();
    const orderId = await dueOrder();
    const { payment } = await stored(orderId);
    const charge = captured();
    await db
      .insertInto('refunds')
      .values({
        id: crypto.randomUUID(),
        payment_id: payment?.id ?? '',
        order_id: orderId,
        charge_id: charge.chargeId,
        idempotency_key: `refund:${charge.chargeId}`,
        amount_minor: 500,
        currency: 'EUR',
        reason: 'second_charge',
      })
      .execute();
    start(scriptedGateway({ charge: () => charge, lookup: () => charge }));
    await paymentBecomes(orderId, 'REVIEW');
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'REVIEW', failure_code: 'charge_refunded' },
      attempts: [{ n: 1, state: 'UNKNOWN' }],
      refunds: { length: 1 },
      breaks: [{ kind: 'charge_refunded', closed_at: null, detail: { chargeId: charge.chargeId } }],
    });
  });

  it('a capture for an order that is paid already: refunded, with a break, and the payment in REVIEW', async () => {
    const { db, dueOrder, stored } = system();
    const orderId = await dueOrder();
    await db.updateTable('orders').set({ state: 'PAID' }).where('id', '=', orderId).execute();
    const charge = captured();
    start(scriptedGateway({ charge: () => charge, lookup: () => charge }));
    await paymentBecomes(orderId, 'REVIEW');
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'PAID' },
      refunds: [{ charge_id: charge.chargeId }],
      breaks: [{ kind: 'second_charge', closed_at: null }],
    });
  });

  it('an outcome that can never be recorded: the payment in REVIEW after the deadline; its order follows when it can', async () => {
    const { db, dueOrder, stateOf, stored } = system();
    const orderId = await dueOrder();
    // Its version 3 is taken: no transition of the order can be written.
    await sql`INSERT INTO order_events (order_id, version, event_id, tenant_id, type, data, occurred_at)
      VALUES (${orderId}, 3, gen_random_uuid(), 'acme', 'x', '{}', now())`.execute(db);
    const charge = captured();
    const gateway = scriptedGateway({ charge: () => charge, lookup: () => charge });
    start(gateway);
    await paymentBecomes(orderId, 'REVIEW');
    expect(gateway.asked.length).toBeGreaterThan(0);
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'PAYMENT_PENDING' },
      attempts: [{ n: 1, state: 'UNKNOWN', permits: 1 }],
      breaks: [{ kind: 'outcome_unknown', closed_at: null, n: 1 }],
    });
    const told = { orderId, msg: expect.stringContaining('could not sweep: order of a payment in REVIEW') };
    await expect.poll(() => logged, patient).toContainEqual(expect.objectContaining(told));
    await sql`DELETE FROM order_events WHERE order_id = ${orderId} AND version = 3`.execute(db);
    await expect.poll(() => stateOf(orderId), patient).toMatch(/REVIEW|PAID/);
  });

  it('a lease of an outcome long open is not given up before an owner that had the chance to ask is lost, too', async () => {
    const { claimed, db, dueOrder, loseLease, stored } = system();
    const orderId = await dueOrder();
    await claimed(orderId);
    await loseLease(orderId);
    const longAgo = sql<Date>`clock_timestamp() - interval '10 days'`;
    const after = await claimed(orderId);
    await db
      .updateTable('payments')
      .set({ unsettled_since: longAgo, updated_at: longAgo })
      .where('order_id', '=', orderId)
      .execute();
    expect(await loseLease(orderId)).toMatchObject({ expiredLeases: 1 });
    expect(await stored(orderId)).toMatchObject({ payment: { state: 'WAIT' }, breaks: [] });
    expect(await claimed(orderId)).toMatchObject({ n: after.n, action: 'ask' });
    expect(await loseLease(orderId)).toMatchObject({ expiredLeases: 1, unreviewedOrders: 1 });
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'REVIEW', failure_code: 'outcome_unknown', failure_attempts: 1 },
      payment: { state: 'REVIEW' },
      breaks: [{ kind: 'outcome_unknown', closed_at: null }],
    });
  });

  it('a leased payment whose order is gone: REVIEW, with a break', async () => {
    const { claimed, db, dueOrder, loseLease } = system();
    const orderId = await dueOrder();
    const { paymentId } = await claimed(orderId);
    await db.deleteFrom('orders').where('id', '=', orderId).execute();
    expect(await loseLease(orderId)).toMatchObject({ expiredLeases: 1 });
    const breaks = await db
      .selectFrom('audit_breaks')
      .selectAll()
      .where('payment_id', '=', paymentId)
      .execute();
    expect(breaks).toMatchObject([{ kind: 'lease_inexplicable', closed_at: null }]);
    await paymentIs(paymentId, 'REVIEW');
  });

  it.each(['no attempt at all', 'none that is open'])(
    'a leased payment with %s: payment and order in REVIEW, with a break',
    async (what) => {
      const { claimed, db, dueOrder, loseLease, stored } = system();
      const orderId = await dueOrder();
      const { paymentId } = await claimed(orderId);
      const attempts = db.updateTable('payment_attempts').set({ state: 'SUCCEEDED' });
      if (what === 'none that is open') await attempts.where('payment_id', '=', paymentId).execute();
      else await db.deleteFrom('payment_attempts').where('payment_id', '=', paymentId).execute();
      expect(await loseLease(orderId)).toMatchObject({ expiredLeases: 1, unreviewedOrders: 1 });
      expect(await stored(orderId)).toMatchObject({
        order: { state: 'REVIEW', failure_code: 'lease_inexplicable' },
        payment: { state: 'REVIEW', lease_until: null },
        breaks: [{ kind: 'lease_inexplicable', closed_at: null }],
      });
    },
  );
});

const paymentIs = async (id: string, state: string) =>
  expect(
    await system().db.selectFrom('payments').select('state').where('id', '=', id).executeTakeFirst(),
  ).toEqual({ state });
