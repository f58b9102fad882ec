import type { Database, Tx } from '@orders/db';
import { type Selectable, sql } from 'kysely';
import { isOpenOrWon } from './attempt.ts';
import { msUntil } from './database-time.ts';
import type { AttemptOutcome, Situation } from './decision.ts';
import { PaymentsError } from './errors.ts';

/** An attempt, and the lease under which it is worked on. */
export interface AttemptRef {
  readonly orderId: string;
  readonly paymentId: string;
  readonly n: number;
  /** Lease token of the claim. */
  readonly token: number;
}

/** The rows behind a {@link Situation}; order and payment are locked until the transaction ends. */
export interface LockedPayment {
  readonly payment: Selectable<Database['payments']>;
  readonly attempt: Selectable<Database['payment_attempts']>;
  readonly situation: Situation;
}

/**
 * Locks the order, then its payment, and reads what a decision needs.
 * @throws PaymentsError `PAYMENTS_ROW_MISSING`
 */
export async function lockSituation(
  tx: Tx,
  ref: AttemptRef,
  outcome: AttemptOutcome,
): Promise<LockedPayment> {
  const order = await tx
    .selectFrom('orders')
    .select('state')
    .where('id', '=', ref.orderId)
    .forUpdate()
    .executeTakeFirst();
  const payment = await tx
    .selectFrom('payments')
    .selectAll()
    .select([
      msUntil(sql`coalesce(unsettled_since, clock_timestamp())`).as('unsettled_until_ms'),
      sql<boolean>`coalesce(lease_until < clock_timestamp(), false)`.as('lease_has_expired'),
    ])
    .where('id', '=', ref.paymentId)
    .forUpdate()
    .executeTakeFirst();
  const chargeId = outcome.outcome === 'captured' ? outcome.chargeId : null;
  const attempts = await tx
    .selectFrom('payment_attempts')
    .selectAll()
    .select(sql<boolean>`EXISTS (SELECT FROM refunds WHERE charge_id = ${chargeId}::text)`.as('refunded'))
    .where('payment_id', '=', ref.paymentId)
    .execute();
  const attempt = attempts.find(({ n }) => n === ref.n);
  if (order === undefined) throw missing(`order ${ref.orderId}`);
  if (payment === undefined) throw missing(`payment ${ref.paymentId}`);
  if (attempt === undefined) throw missing(`attempt ${ref.n} of payment ${ref.paymentId}`);

  const situation: Situation = {
    attempt: {
      state: attempt.state,
      chargeId: attempt.charge_id,
      permits: attempt.permits,
      amountMinor: attempt.amount_minor,
      currency: attempt.currency,
    },
    otherOpenOrWon: attempts.some(({ n, state }) => n !== ref.n && isOpenOrWon(state)),
    attemptsInRound: attempts.filter(({ round }) => round === payment.round).length,
    order: order.state,
    cancelRequested: payment.cancel_requested,
    tokenIsCurrent: payment.lease_token === ref.token,
    chargeHasRefund: attempt.refunded,
    inReview: payment.state === 'REVIEW',
    leaseHasExpired: payment.lease_has_expired,
    unsettledMs: Math.max(0, -payment.unsettled_until_ms),
  };
  return { payment, attempt, situation };
}

const missing = (what: string) => new PaymentsError('PAYMENTS_ROW_MISSING', `there is no ${what}`);
