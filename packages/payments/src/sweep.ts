import { type Database, inTransaction, type Tx } from '@orders/db';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import { type Kysely, sql } from 'kysely';
import { acceptCreatedOrders } from './accept.ts';
import { decideOrderOfCapture, type Rules } from './decision.ts';
import type { Logger } from './logger.ts';
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
export interface Swept {
  /** Owners that did not come back: their attempts are UNKNOWN now and will be asked about. */
  readonly expiredLeases: number;
  /** Orders that had no payment, long after they were created. */
  readonly lostEvents: number;
  /** Captured payments whose order did not know. */
  readonly unpaidCaptures: number;
  /** Payments that were to be cancelled and for which nothing had been sent. */
  readonly cancelled: number;
}

/** Of each kind, per sweep; the rest waits for the next. */
export const sweepBatchMax = 100;

interface Finding {
  readonly orderId: string;
  readonly paymentId: string;
  readonly eventId: string;
  readonly correlationId: string;
  /** The open or won attempt; null if there is none. */
  readonly n: number | null;
  readonly token: number;
}

/**
 * Finds what fell between two steps and puts it back on its way. Any number of workers may sweep at once: each
 * finding is decided again under the locks of its order and payment.
 */
export async function sweep(deps: SweepDeps): Promise<Swept> {
  return {
    expiredLeases: await mendEach(deps, 'expired lease', await findExpiredLeases(deps.db), expireLease),
    lostEvents: await acceptLostEvents(deps),
    unpaidCaptures: await mendEach(deps, 'unpaid capture', await findUnpaidCaptures(deps.db), settleOrder),
    cancelled: await mendEach(deps, 'cancelled payment', await findCancelled(deps.db), voidPayment),
  };
}

type Mend = (tx: Tx, deps: SweepDeps, finding: Finding) => Promise<boolean>;

/** Each in a transaction of its own: one that cannot be mended must not keep the others from it. */
async function mendEach(
  deps: SweepDeps,
  what: string,
  findings: readonly Finding[],
  mend: Mend,
): Promise<number> {
  let mended = 0;
  for (const finding of findings) {
    const { token: _, ...fields } = finding;
    try {
      if (!(await inTransaction(deps.db, (tx) => mend(tx, deps, finding)))) continue;
      mended++;
      deps.logger.warn(fields, `swept: ${what}`);
    } catch (err) {
      deps.logger.error({ ...fields, err }, `could not sweep: ${what}; the next sweep tries again`);
    }
  }
  return mended;
}

const findings = (db: Kysely<Database>) =>
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
    .limit(sweepBatchMax);

const findExpiredLeases = (db: Kysely<Database>): Promise<Finding[]> =>
  findings(db)
    .where('p.state', '=', 'LEASED')
    .where('p.lease_until', '<', sql<Date>`statement_timestamp()`)
    .orderBy('p.lease_until')
    .execute();

async function expireLease(tx: Tx, deps: SweepDeps, finding: Finding): Promise<boolean> {
  const { n } = finding;
  if (n === null) return false; // a claim commits lease and attempt together: somebody has changed it by hand
  const recorded = await recordOutcome(tx, deps, { ...finding, n }, { outcome: 'lease-expired' });
  return recorded.decision.write !== 'nothing';
}

const findUnpaidCaptures = (db: Kysely<Database>): Promise<Finding[]> =>
  findings(db)
    .innerJoin('orders as o', 'o.id', 'p.order_id')
    .where('p.state', '=', 'CAPTURED')
    .where('o.state', 'in', ['PAYMENT_PENDING', 'CANCEL_PENDING'])
    .execute();

/** Capture and order are written together, so this should never find anything; money is worth a second look. */
async function settleOrder(tx: Tx, deps: SweepDeps, finding: Finding): Promise<boolean> {
  const locked = await lockOrderAndPayment(tx, finding);
  const attempt = await tx
    .selectFrom('payment_attempts')
    .selectAll()
    .where('payment_id', '=', finding.paymentId)
    .where('state', '=', 'SUCCEEDED')
    .executeTakeFirst();
  if (locked?.payment.state !== 'CAPTURED' || attempt?.charge_id == null) return false;
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

const findCancelled = (db: Kysely<Database>): Promise<Finding[]> =>
  findings(db)
    .where('p.state', 'in', ['DUE', 'WAIT'])
    .where('p.cancel_requested', '=', true)
    .where('a.n', 'is', null)
    .execute();

/** Nothing is open, so nothing can be captured any more. */
async function voidPayment(tx: Tx, deps: SweepDeps, finding: Finding): Promise<boolean> {
  const locked = await lockOrderAndPayment(tx, finding);
  if (locked?.payment.lease_token !== finding.token || !locked.payment.cancel_requested) return false;
  await endLease(tx, locked, { state: 'VOID' });
  await deps.lifecycle.transitionOrder(tx, { orderId: finding.orderId, command: { type: 'cancel' } });
  return true;
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

/**
 * Orders that nobody has accepted: their event was lost between outbox and here, or its inbox row was written
 * without its payment. They are accepted from the order's own first event, and counted: it should not happen.
 */
async function acceptLostEvents(deps: SweepDeps): Promise<number> {
  const graceMs = deps.lostEventGraceMs;
  const lost = await deps.db
    .selectFrom('orders as o')
    .innerJoin('order_events as e', (join) => join.onRef('e.order_id', '=', 'o.id').on('e.version', '=', 1))
    .select(['o.id as orderId', 'o.correlation_id as correlationId', 'e.event_id as eventId'])
    .where('o.state', '=', 'CREATED')
    .where('o.created_at', '<', sql<Date>`statement_timestamp() - ${graceMs} * interval '1 millisecond'`)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('payments as p').select('p.id').whereRef('p.order_id', '=', 'o.id'))),
    )
    .orderBy('o.created_at')
    .limit(sweepBatchMax)
    .execute();
  try {
    return await acceptLost(deps, lost);
  } catch (err) {
    deps.logger.error(
      { err, orders: lost.length },
      'could not sweep orders without a payment; one by one now',
    );
  }
  let accepted = 0;
  for (const order of lost) {
    try {
      accepted += await acceptLost(deps, [order]);
    } catch (err) {
      deps.logger.error(
        { ...order, err },
        'could not sweep: order without a payment; the next sweep tries again',
      );
    }
  }
  return accepted;
}

async function acceptLost(
  deps: SweepDeps,
  lost: readonly { orderId: string; correlationId: string; eventId: string }[],
): Promise<number> {
  if (lost.length === 0) return 0;
  const events = lost.map(({ orderId, eventId }) => ({ id: eventId, data: { orderId } }));
  const { accepted } = await inTransaction(deps.db, (tx) => acceptCreatedOrders(tx, deps.lifecycle, events));
  for (const order of lost.filter(({ orderId }) => accepted.includes(orderId))) {
    deps.logger.warn(order, 'swept: order without a payment; accepted now');
  }
  return accepted.length;
}
