import { inTransaction } from '@orders/db';
import { beforeEach, describe, expect, it } from 'vitest';
import { permitResend } from '../src/permit.ts';
import {
  captured,
  fast,
  hardDecline,
  lifecycle,
  notExecuted,
  softDecline,
  unknown,
  useSystem,
} from './system.ts';

const system = useSystem();
beforeEach(() => system().clear());

describe('accept', () => {
  it('gives every CREATED order one payment, however often and by how many it is told', async () => {
    const { accept, createOrder, stored } = system();
    const orders = await Promise.all([1, 2, 3].map(() => createOrder()));
    const results = await Promise.all([accept(orders), accept([...orders].reverse()), accept(orders)]);
    expect(results.flatMap(({ accepted }) => accepted).sort()).toEqual(orders.map((o) => o.orderId).sort());
    for (const { orderId, eventId } of orders) {
      const { order, payment, events } = await stored(orderId);
      expect(order).toMatchObject({ state: 'PAYMENT_PENDING', version: 2 });
      expect(payment).toMatchObject({ state: 'DUE', event_id: eventId, amount_minor: 500, currency: 'EUR' });
      expect(events.map((event) => event.type)).toEqual(['order.created.v1', 'order.payment_pending.v1']);
    }
  });

  it('starts nothing for an order that was cancelled or is not known, and says so', async () => {
    const { accept, createOrder, db, stored } = system();
    const cancelled = await createOrder();
    await inTransaction(db, (tx) =>
      lifecycle.transitionOrder(tx, { orderId: cancelled.orderId, command: { type: 'cancel' } }),
    );
    const missing = { orderId: crypto.randomUUID(), eventId: crypto.randomUUID() };
    expect(await accept([cancelled, missing])).toEqual({
      accepted: [],
      unchanged: [cancelled.orderId],
      missing: [missing.orderId],
    });
    expect(await stored(cancelled.orderId)).toMatchObject({
      order: { state: 'CANCELLED' },
      payment: undefined,
    });
  });
});

describe('claim', () => {
  it('opens attempt 1 with a key fixed in the database, and counts the send', async () => {
    const { claimed, dueOrder, stored } = system();
    const orderId = await dueOrder();
    const attempt = await claimed(orderId);
    const { attempts, payment } = await stored(orderId);
    expect(attempt).toMatchObject({ n: 1, action: 'send', token: 1, request: { reference: orderId } });
    expect(attempts).toMatchObject([
      { n: 1, state: 'SENT', permits: 1, idempotency_key: attempt.request.idempotencyKey, amount_minor: 500 },
    ]);
    expect(attempt.request.idempotencyKey).toBe(`${payment?.id}:1`);
    expect(payment).toMatchObject({ state: 'LEASED', lease_token: 1, lease_owner: 'test' });
    expect(attempt.callWithinMs).toBe(fast.leaseDurationMs);
  });

  it('of several at once each payment is claimed by one', async () => {
    const { claim, dueOrder } = system();
    const ids = await Promise.all(Array.from({ length: 8 }, () => dueOrder()));
    const claims = await Promise.all(Array.from({ length: 4 }, () => claim()));
    expect(claims.flatMap(({ attempts }) => attempts.map((one) => one.orderId)).sort()).toEqual(ids.sort());
  });

  it('is fair: a tenant’s backlog takes no more of a turn than an even share, and every tenant has its turn', async () => {
    const { claim, dueOrder } = system();
    await Promise.all(Array.from({ length: 12 }, () => dueOrder({ tenantId: 'a-big' })));
    await dueOrder({ tenantId: 'b-small' });
    await dueOrder({ tenantId: 'c-small' });
    const tenantsOf = async (afterTenant: string) =>
      (await claim({ slots: 3, afterTenant })).attempts.map((one) => one.tenantId).sort();
    expect(await tenantsOf('')).toEqual(['a-big', 'b-small', 'c-small']);
    expect(await tenantsOf('a-big')).toEqual([]);
    expect(await tenantsOf('')).toEqual(['a-big', 'a-big', 'a-big']);
  });

  it('waits for nobody: a payment that is locked is left for later', async () => {
    const { claim, db, dueOrder } = system();
    const orderId = await dueOrder();
    await inTransaction(db, async (tx) => {
      await tx.selectFrom('payments').select('id').where('order_id', '=', orderId).forUpdate().execute();
      expect((await claim()).attempts).toEqual([]);
    });
    expect((await claim()).attempts).toHaveLength(1);
  });

  it('never opens a second attempt while one is open: it takes that one up again, or the index refuses', async () => {
    const { claim, claimed, dueOrder, loseLease, stored } = system();
    const orderId = await dueOrder();
    const { request } = await claimed(orderId);
    await loseLease(orderId);
    const again = await claim();
    const { attempts } = await stored(orderId);
    expect(attempts.map((attempt) => [attempt.n, attempt.idempotency_key])).toEqual([
      [1, request.idempotencyKey],
    ]);
    // Either guard is enough; this counts which of them held.
    expect(again.resumed + again.refusedByIndex).toBe(1);
  });

  it('an attempt that may have been executed is asked about; one that was only turned away is sent again', async () => {
    const { claimed, dueOrder, record, stored, wakeAll } = system();
    const orderId = await dueOrder();
    const first = await claimed(orderId);
    await record(first, notExecuted);
    await wakeAll();
    const second = await claimed(orderId);
    expect(second).toMatchObject({ n: 1, action: 'send', request: first.request });
    expect((await stored(orderId)).attempts).toMatchObject([{ permits: 2, state: 'SENT' }]);
    await record(second, unknown);
    await wakeAll();
    expect(await claimed(orderId)).toMatchObject({ n: 1, action: 'ask', request: first.request });
    expect((await stored(orderId)).attempts).toMatchObject([{ permits: 2, state: 'UNKNOWN' }]);
  });

  it('a key past its lifetime less the margin is only asked about, and gets no permit', async () => {
    const { claimed, db, dueOrder, record, stored, wakeAll } = system();
    const orderId = await dueOrder();
    await record(await claimed(orderId), notExecuted);
    const aged = new Date(Date.now() - 55_001);
    await db
      .updateTable('payment_attempts')
      .set({ first_sent_at: aged })
      .where('state', '=', 'SENT')
      .execute();
    await wakeAll();
    const asking = await claimed(orderId);
    expect(asking).toMatchObject({ n: 1, action: 'ask' });
    const options = { leaseDurationMs: 1_000, keyLifetimeMs: 60_000, keyLifetimeMarginMs: 5_000 };
    expect(await inTransaction(db, (tx) => permitResend(tx, asking, options))).toEqual({
      granted: false,
      because: 'key-too-old',
    });
    expect((await stored(orderId)).attempts).toMatchObject([{ permits: 1 }]);
  });

  it('a permit to resend is counted, renews the lease, and is given to the owner alone', async () => {
    const { claimed, db, dueOrder, loseLease, stored } = system();
    const orderId = await dueOrder();
    const stale = await claimed(orderId);
    await loseLease(orderId);
    const owner = await claimed(orderId);
    const options = { leaseDurationMs: 30_000, keyLifetimeMs: 60_000, keyLifetimeMarginMs: 5_000 };
    const permit = (ref: typeof owner) => inTransaction(db, (tx) => permitResend(tx, ref, options));
    expect(await permit(stale)).toEqual({ granted: false, because: 'lease-lost' });
    expect(await permit(owner)).toEqual({ granted: true, callWithinMs: 30_000 });
    const { attempts, payment } = await stored(orderId);
    expect(attempts).toMatchObject([{ permits: 2 }]);
    expect(payment?.lease_until?.getTime()).toBeGreaterThan(Date.now() + 20_000);
  });
});

describe('record', () => {
  it('a capture is recorded even by a worker whose lease ran out, and the later word of the owner changes nothing', async () => {
    const { claimed, dueOrder, loseLease, record, stored } = system();
    const orderId = await dueOrder();
    const stale = await claimed(orderId);
    await loseLease(orderId);
    const owner = await claimed(orderId);
    const charge = captured();
    await record(stale, charge);
    const paid = await stored(orderId);
    expect(paid).toMatchObject({
      order: { state: 'PAID', version: 3 },
      payment: { state: 'CAPTURED' },
      attempts: [{ state: 'SUCCEEDED', charge_id: charge.chargeId }],
    });
    expect((await record(owner, charge)).decision).toEqual({ write: 'nothing', because: 'already-recorded' });
    for (const late of [unknown, softDecline, notExecuted]) {
      expect((await record(owner, late)).decision).toEqual({ write: 'nothing', because: 'stale-token' });
    }
    expect(await stored(orderId)).toEqual(paid);
  });

  it('a late decline of a closed attempt does not touch the attempt that is open now', async () => {
    const { claimed, dueOrder, loseLease, record, stored, wakeAll } = system();
    const orderId = await dueOrder();
    const stale = await claimed(orderId);
    await loseLease(orderId);
    await record(await claimed(orderId), softDecline);
    await wakeAll();
    const second = await claimed(orderId);
    expect(second).toMatchObject({ n: 2, action: 'send' });

    // Attempt 1 is closed, and its former owner's token is old: either is reason enough.
    const { decision } = await record(stale, hardDecline);
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'PAYMENT_PENDING' },
      payment: { state: 'LEASED', lease_token: second.token },
      attempts: [{ state: 'DECLINED', decline_kind: 'soft' }, { state: 'SENT' }],
    });
    expect(['stale-token', 'attempt-closed']).toContain(
      'because' in decision ? decision.because : decision.write,
    );
    await record(second, captured());
    expect(await stored(orderId)).toMatchObject({ order: { state: 'PAID' }, payment: { state: 'CAPTURED' } });
  });

  it('a capture after the order FAILED is stored with a break and a refund, in one transaction', async () => {
    const { claimed, dueOrder, record, stored } = system();
    const orderId = await dueOrder();
    const attempt = await claimed(orderId);
    await record(attempt, hardDecline);
    expect(await system().stateOf(orderId)).toBe('FAILED');
    const charge = captured();
    await record(attempt, charge);
    const after = await stored(orderId);
    expect(after).toMatchObject({
      order: { state: 'REFUND_PENDING' },
      payment: { state: 'CAPTURED' },
      attempts: [{ state: 'SUCCEEDED', charge_id: charge.chargeId }],
      refunds: [{ charge_id: charge.chargeId, amount_minor: 500, state: 'DUE', reason: 'late_capture' }],
      breaks: [{ kind: 'late_capture', closed_at: null }],
    });
    await record(attempt, charge);
    expect(await stored(orderId)).toEqual(after);
  });

  it('a capture while another attempt is open gets a break and a refund, and is never adopted afterwards', async () => {
    const { claimed, dueOrder, record, stored, wakeAll } = system();
    const orderId = await dueOrder();
    const first = await claimed(orderId);
    await record(first, softDecline);
    await wakeAll();
    const second = await claimed(orderId);
    const stray = captured();
    await record(first, stray);
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'PAYMENT_PENDING' },
      payment: { state: 'LEASED' },
      attempts: [{ state: 'DECLINED', charge_id: null }, { state: 'SENT' }],
      refunds: [{ charge_id: stray.chargeId, reason: 'second_charge' }],
      breaks: [{ kind: 'second_charge', n: 1 }],
    });
    await record(second, hardDecline);
    expect((await record(first, stray)).decision).toEqual({ write: 'nothing', because: 'charge-has-refund' });
    expect(await stored(orderId)).toMatchObject({ order: { state: 'FAILED' }, refunds: { length: 1 } });
  });

  it('past its deadline an open outcome goes to REVIEW with a break, which a capture found later closes', async () => {
    const { claimed, db, dueOrder, record, stored, wakeAll } = system();
    const orderId = await dueOrder();
    await record(await claimed(orderId), unknown);
    await db
      .updateTable('payments')
      .set({ unsettled_since: new Date(0) })
      .where('order_id', '=', orderId)
      .execute();
    await wakeAll();
    const attempt = await claimed(orderId);
    await record(attempt, unknown);
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'REVIEW', failure_code: 'outcome_unknown', failure_attempts: 1 },
      payment: { state: 'REVIEW' },
      attempts: [{ state: 'UNKNOWN' }],
      breaks: [{ kind: 'outcome_unknown', closed_at: null, n: 1 }],
      deadLetters: [],
    });
    await record(attempt, captured());
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'PAID', failure_code: null },
      payment: { state: 'CAPTURED' },
      breaks: [{ kind: 'outcome_unknown', closed_at: expect.any(Date), resolution: 'captured' }],
    });
  });

  it.each([
    ['declined', softDecline, { order: 'CANCELLED', payment: 'VOID', refunds: [] }],
    [
      'captured',
      captured(),
      { order: 'REFUND_PENDING', payment: 'CAPTURED', refunds: [{ reason: 'cancelled' }] },
    ],
  ])('with a cancel asked for meanwhile, %s ends it', async (_, outcome, expected) => {
    const { claimed, db, dueOrder, record, stored } = system();
    const orderId = await dueOrder();
    const attempt = await claimed(orderId);
    await inTransaction(db, async (tx) => {
      await lifecycle.transitionOrder(tx, { orderId, command: { type: 'requestCancel' } });
      await tx
        .updateTable('payments')
        .set({ cancel_requested: true })
        .where('order_id', '=', orderId)
        .execute();
    });
    await record(attempt, outcome);
    const { order, payment, refunds } = await stored(orderId);
    expect({ order: order.state, payment: payment?.state, refunds }).toMatchObject(expected);
  });

  it('a capture of another amount is kept, and a person is asked', async () => {
    const { claimed, dueOrder, record, stored } = system();
    const orderId = await dueOrder();
    await record(await claimed(orderId), { ...captured(), amountMinor: 5 });
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'REVIEW', failure_code: 'amount_mismatch' },
      payment: { state: 'CAPTURED' },
      breaks: [{ kind: 'amount_mismatch' }],
    });
  });

  it('a gateway that forgets its declines: after a resend a decline is not believed', async () => {
    const { claimed, db, dueOrder, loseLease, record, stored } = system();
    const orderId = await dueOrder();
    await claimed(orderId);
    await loseLease(orderId);
    const owner = await claimed(orderId);
    const options = { leaseDurationMs: 1_000, keyLifetimeMs: 60_000, keyLifetimeMarginMs: 5_000 };
    await inTransaction(db, (tx) => permitResend(tx, owner, options));
    await record(owner, softDecline, { replaysDeclines: false });
    expect(await stored(orderId)).toMatchObject({
      order: { state: 'PAYMENT_PENDING' },
      payment: { state: 'WAIT' },
      attempts: [{ n: 1, state: 'UNKNOWN', permits: 2 }],
    });
  });
});
