import type { Database, Tx } from '@orders/db';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import { type Kysely, sql } from 'kysely';
import { decideOrderOfCapture, type Rules } from './decision.ts';
import { PaymentsError } from './errors.ts';
import { giveToReview } from './give-up.ts';
import type { Logger } from './logger.ts';
import { acceptLost, findLostEvents, type LostEvent } from './lost-events.ts';
import { addRefund, endLease } from './payment-writes.ts';
import { recordOutcome } from './record.ts';

/** What a sweep needs. */
export interface SweepDeps {
  readonly db: Kysely<Database>;
  readonly lifecycle: Pick<OrderLifecycle, 'transitionOrder' | 'transitionOrders'>;
  readonly logger: Logger;
  readonly rules: Rules;
  /** How old an order without a payment must be before its event counts as lost. */
  readonly lostEventGraceMs: number;
}

/** How many of each were found and mended. */
export interface Mended {
  /** Owners that did not come back: their attempts are UNKNOWN now and will be asked about. */
  readonly expiredLeases: number;
  /** Orders that had no payment, long after they were created. */
  readonly lostEvents: number;
  /** Captured payments whose order did not know. */
  readonly unpaidCaptures: number;
  /** Payments that were to be cancelled and for which nothing had been sent. */
  readonly cancelled: number;
  /** Payments in REVIEW whose order did not know. */
  readonly unreviewedOrders: number;
}

/** Of each kind, per sweep; the next sweep goes on behind them. */
export const sweepBatchMax = 100;

/** What every finding says, and log lines about it. */
export interface Found {
  readonly orderId: string;
  readonly correlationId: string;
  readonly eventId: string;
  readonly paymentId?: string;
  /** The open or won attempt; null if there is none. */
  readonly n?: number | null;
}

/** Something to be looked for and mended. `keyOf` orders what is found of a kind. */
export interface Kind<F extends Found> {
  readonly counter: keyof Mended;
  readonly what: string;
  find(deps: SweepDeps, after: string): Promise<F[]>;
  keyOf(finding: F): string;
  /** Decides again under the locks; false: somebody else was quicker. */
  mend(tx: Tx, deps: SweepDeps, finding: F): Promise<boolean>;
}

/** A payment as it was found. */
interface Finding extends Required<Found> {
  readonly token: number;
}

const findings = (db: Kysely<Database>, after: string) =>
  db
    .selectFrom('payments as p')
    .leftJoin('payment_attempts as a', (join) =>
      join.onRef('a.payment_id', '=', 'p.id').on('a.state', 'in', ['SENT', 'UNKNOWN', 'SUCCEEDED']),
    )
    .select([
      'p.order_id as orderId',
      'p.id as paymentId',
      'p.event_id as eventId',
      'p.correlation_id as correlationId',
      'p.lease_token as token',
      'a.n as n',
    ])
    .where('p.id', '>', after)
    .orderBy('p.id')
    .limit(sweepBatchMax);

const paymentIdOf = ({ paymentId }: Finding): string => paymentId;

export const expiredLeases: Kind<Finding & { readonly isOverdue: boolean }> = {
  counter: 'expiredLeases',
  what: 'expired lease',
  find: ({ db, rules }, after) =>
    findings(db, after)
      .select(
        // A claim and the renewal of its lease set `updated_at`.
        sql<boolean>`coalesce(p.updated_at - p.unsettled_since
          >= ${rules.paymentDeadlineMs}::double precision * interval '1 millisecond', false)`.as('isOverdue'),
      )
      .where('p.state', '=', 'LEASED')
      .where('p.lease_until', '<', sql<Date>`statement_timestamp()`)
      .execute(),
  keyOf: paymentIdOf,
  mend: expireLease,
};

async function expireLease(
  tx: Tx,
  deps: SweepDeps,
  finding: Finding & { readonly isOverdue: boolean },
): Promise<boolean> {
  const { n } = finding;
  // This owner took it when the deadline was over, and is lost as well: whatever it is that keeps every owner from
  // recording an outcome, a crash or an order that takes none, it is not to go on for ever.
  if (finding.isOverdue)
    return giveToReview(tx, finding, 'outcome_unknown', { because: 'owners do not come back' });
  // A claim commits lease and attempt together, so somebody has changed it by hand. A person has to say what it means.
  if (n === null) return giveToReview(tx, finding, 'lease_inexplicable', { because: 'no attempt' });
  try {
    const { decision } = await recordOutcome(tx, deps, { ...finding, n }, { outcome: 'lease-expired' });
    if (decision.write === 'nothing' && decision.because === 'attempt-closed') {
      return await giveToReview(tx, finding, 'lease_inexplicable', { because: 'its attempt is closed' });
    }
    return decision.write !== 'nothing';
  } catch (error) {
    if (!(error instanceof PaymentsError)) throw error;
    // Whatever the gateway says, it cannot be recorded.
    return giveToReview(tx, finding, 'lease_inexplicable', { because: error.message });
  }
}

export const lostEvents: Kind<LostEvent> = {
  counter: 'lostEvents',
  what: 'order without a payment',
  find: ({ db, lostEventGraceMs: graceMs }, after) =>
    findLostEvents(db, { graceMs, after, limit: sweepBatchMax }),
  keyOf: ({ orderId }) => orderId,
  mend: (tx, { lifecycle }, lost) => acceptLost(tx, lifecycle, lost),
};

export const unpaidCaptures: Kind<Finding> = {
  counter: 'unpaidCaptures',
  what: 'unpaid capture',
  find: ({ db }, after) =>
    findings(db, after)
      .innerJoin('orders as o', 'o.id', 'p.order_id')
      .where('p.state', '=', 'CAPTURED')
      .where('o.state', 'in', ['PAYMENT_PENDING', 'CANCEL_PENDING'])
      .execute(),
  keyOf: paymentIdOf,
  mend: settleOrder,
};

/** Capture and order are written together, so this should never find anything; money is worth a second look. */
async function settleOrder(tx: Tx, deps: SweepDeps, finding: Finding): Promise<boolean> {
  const locked = await lockOrderAndPayment(tx, finding);
  if (locked?.payment.state !== 'CAPTURED') return false;
  const attempt = await tx
    .selectFrom('payment_attempts')
    .selectAll()
    .where('payment_id', '=', finding.paymentId)
    .where('state', '=', 'SUCCEEDED')
    .executeTakeFirst();
  if (attempt?.charge_id == null) {
    throw new PaymentsError('PAYMENTS_ROW_MISSING', 'a captured payment has no attempt that succeeded');
  }
  const { charge_id: chargeId, amount_minor: amountMinor, currency } = attempt;
  const charge = { outcome: 'captured', chargeId, amountMinor, currency } as const;
  const decision = decideOrderOfCapture(
    {
      order: locked.order.state,
      attempt: { state: 'SENT', chargeId: null, permits: attempt.permits, amountMinor, currency },
      cancelRequested: locked.payment.cancel_requested,
    },
    charge,
  );
  if (decision.write !== 'captured') return false;
  if (decision.refund !== null) await addRefund(tx, locked, charge, decision.refund);
  for (const type of decision.order) {
    if (type === 'review') continue;
    await deps.lifecycle.transitionOrder(tx, { orderId: finding.orderId, command: { type } });
  }
  return true;
}

export const cancelledPayments: Kind<Finding> = {
  counter: 'cancelled',
  what: 'cancelled payment',
  find: ({ db }, after) =>
    findings(db, after)
      .where('p.state', 'in', ['DUE', 'WAIT'])
      .where('p.cancel_requested', '=', true)
      .where('a.n', 'is', null)
      .execute(),
  keyOf: paymentIdOf,
  mend: voidPayment,
};

/** Nothing is open, so nothing can be captured any more. */
async function voidPayment(tx: Tx, deps: SweepDeps, finding: Finding): Promise<boolean> {
  const locked = await lockOrderAndPayment(tx, finding);
  if (locked?.payment.lease_token !== finding.token || !locked.payment.cancel_requested) return false;
  await endLease(tx, locked, { state: 'VOID' });
  await deps.lifecycle.transitionOrder(tx, { orderId: finding.orderId, command: { type: 'cancel' } });
  return true;
}

export const unreviewedOrders: Kind<Finding> = {
  counter: 'unreviewedOrders',
  what: 'order of a payment in REVIEW',
  find: ({ db }, after) =>
    findings(db, after)
      .innerJoin('orders as o', 'o.id', 'p.order_id')
      .where('p.state', '=', 'REVIEW')
      .where('o.state', 'in', ['PAYMENT_PENDING', 'CANCEL_PENDING'])
      .execute(),
  keyOf: paymentIdOf,
  mend: reviewOrder,
};

/** A payment that was given up was given up alone, see `giveToReview`. */
async function reviewOrder(tx: Tx, deps: SweepDeps, finding: Finding): Promise<boolean> {
  const locked = await lockOrderAndPayment(tx, finding);
  if (locked?.payment.state !== 'REVIEW') return false;
  const latest = await tx
    .selectFrom('audit_breaks')
    .select('kind')
    .where('payment_id', '=', finding.paymentId)
    .where('closed_at', 'is', null)
    .orderBy('opened_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  const failure = { code: latest?.kind ?? 'outcome_unknown', attempts: finding.n ?? 0 };
  const result = await deps.lifecycle.transitionOrder(tx, {
    orderId: finding.orderId,
    command: { type: 'review', failure },
  });
  return result.outcome === 'done';
}

async function lockOrderAndPayment(tx: Tx, { orderId, paymentId }: Finding) {
  const order = await tx
    .selectFrom('orders')
    .select('state')
    .where('id', '=', orderId)
    .forUpdate()
    .executeTakeFirst();
  const payment = await tx
    .selectFrom('payments')
    .selectAll()
    .where('id', '=', paymentId)
    .forUpdate()
    .executeTakeFirst();
  return order === undefined || payment === undefined ? null : { order, payment };
}
