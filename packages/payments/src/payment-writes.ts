import type { PaymentAttemptState, PaymentState, Tx } from '@orders/db';
import { addDeadLetter } from '@orders/idempotent-consumer';
import type { RawBuilder } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { databaseNow } from './database-time.ts';
import type { BreakKind, RefundReason } from './decision.ts';
import type { Captured, Declined } from './gateway.ts';
import type { LockedPayment } from './situation.ts';

/** The `worker_id` of a payment's dead letter. */
export const paymentWorkerId = 'payment-executor';

/** Sets the payment's state, ends its lease and raises the token. */
export async function endLease(
  tx: Tx,
  { payment }: Pick<LockedPayment, 'payment'>,
  change: {
    state: PaymentState;
    next_at?: RawBuilder<Date>;
    unsettled_since?: RawBuilder<Date> | Date | null;
  },
): Promise<void> {
  await tx
    .updateTable('payments')
    .set({
      lease_token: payment.lease_token + 1,
      lease_until: null,
      lease_owner: null,
      updated_at: databaseNow,
      ...change,
    })
    .where('id', '=', payment.id)
    .execute();
}

/** Changes the attempt that the outcome is about. */
export async function updateAttempt(
  tx: Tx,
  { attempt }: LockedPayment,
  change: {
    state: PaymentAttemptState;
    charge_id?: string;
    closed_at?: RawBuilder<Date>;
    decline_code?: string;
    decline_kind?: 'soft' | 'hard';
  },
): Promise<void> {
  await tx
    .updateTable('payment_attempts')
    .set(change)
    .where('payment_id', '=', attempt.payment_id)
    .where('n', '=', attempt.n)
    .execute();
}

/** Closes the attempt for good: only now may another one be opened. */
export async function closeDeclined(tx: Tx, locked: LockedPayment, declined: Declined): Promise<void> {
  await updateAttempt(tx, locked, {
    state: 'DECLINED',
    closed_at: databaseNow,
    decline_code: declined.code,
    decline_kind: declined.kind,
  });
}

/** A refund of the whole charge, to be carried out later. A charge is refunded once, whoever asks for it. */
export async function addRefund(
  tx: Tx,
  { payment }: Pick<LockedPayment, 'payment'>,
  charge: Pick<Captured, 'chargeId' | 'amountMinor' | 'currency'>,
  reason: RefundReason,
): Promise<void> {
  await tx
    .insertInto('refunds')
    .values({
      id: uuidv7(),
      payment_id: payment.id,
      order_id: payment.order_id,
      charge_id: charge.chargeId,
      idempotency_key: `refund:${charge.chargeId}`,
      amount_minor: charge.amountMinor,
      currency: charge.currency,
      reason,
    })
    .onConflict((conflict) => conflict.column('charge_id').doNothing())
    .execute();
}

/** Says that our books and the gateway's differ here, until somebody or something resolves it. */
export async function openBreak(
  tx: Tx,
  { payment, attempt }: Pick<LockedPayment, 'payment'> & { readonly attempt: { readonly n: number | null } },
  kind: BreakKind,
  detail: Record<string, unknown>,
): Promise<void> {
  await tx
    .insertInto('audit_breaks')
    .values({
      id: uuidv7(),
      kind,
      order_id: payment.order_id,
      payment_id: payment.id,
      n: attempt.n,
      detail: JSON.stringify(detail),
    })
    .execute();
}

/** Closes the payment's break `outcome_unknown`: the outcome is known now. */
export async function closeUnknownOutcome(
  tx: Tx,
  { payment }: LockedPayment,
  resolution: string,
): Promise<void> {
  await tx
    .updateTable('audit_breaks')
    .set({ closed_at: databaseNow, resolution })
    .where('payment_id', '=', payment.id)
    .where('kind', '=', 'outcome_unknown')
    .where('closed_at', 'is', null)
    .execute();
}

/** One per payment and round: no record failed, so it names the event that asked for the payment. */
export async function addPaymentDeadLetter(
  tx: Tx,
  { payment, situation }: LockedPayment,
  code: string,
): Promise<void> {
  const attempts = situation.attemptsInRound;
  await addDeadLetter(tx, {
    eventId: payment.event_id,
    consumerName: paymentWorkerId,
    topic: null,
    partition: null,
    offset: null,
    key: null,
    value: null,
    headers: { 'correlation-id': payment.correlation_id, 'tenant-id': payment.tenant_id },
    payload: { orderId: payment.order_id, paymentId: payment.id, code },
    reason: `payment declined ${attempts} times, last with ${code}`,
    attempts,
    round: payment.round,
  });
}
