import type { Tx } from '@orders/db';
import type { OrderCommand, OrderLifecycle, TransitionResult } from '@orders/order-lifecycle';
import { fullJitterMs } from './backoff.ts';
import { afterMs, databaseNow } from './database-time.ts';
import { type AttemptOutcome, type Decision, decide, type Rules } from './decision.ts';
import type { Captured, Declined } from './gateway.ts';
import {
  addPaymentDeadLetter,
  addRefund,
  closeDeclined,
  closeUnknownOutcome,
  endLease,
  openBreak,
  updateAttempt,
} from './payment-writes.ts';
import { type AttemptRef, type LockedPayment, lockSituation } from './situation.ts';

/** What was written, and what became of the order's commands. `waitMs`: until the payment's next claim. */
export interface Recorded {
  readonly outcome: AttemptOutcome;
  readonly decision: Decision;
  readonly transitions: readonly TransitionResult[];
  readonly waitMs: number | null;
}

/** What recording needs beside the transaction. `random` is for tests. */
export interface RecordDeps {
  readonly lifecycle: Pick<OrderLifecycle, 'transitionOrder'>;
  readonly rules: Rules;
  readonly random?: () => number;
}

/**
 * Writes what came of an attempt: attempt, payment, order, its event, and dead letter, refund or break if there is
 * one, all in the caller's transaction. Calling it again with the same outcome changes nothing.
 *
 * Every write that ends a lease raises its token, so that whoever held it cannot write any more.
 * @throws PaymentsError `PAYMENTS_ROW_MISSING`
 */
export async function recordOutcome(
  tx: Tx,
  deps: RecordDeps,
  ref: AttemptRef,
  outcome: AttemptOutcome,
): Promise<Recorded> {
  const locked = await lockSituation(tx, ref, outcome);
  const decision = decide(locked.situation, outcome, deps.rules);
  const waitMs =
    'waitCeilingMs' in decision ? fullJitterMs(decision.waitCeilingMs, (deps.random ?? Math.random)()) : null;
  const commands = await write(tx, locked, decision, outcome, waitMs);
  const transitions: TransitionResult[] = [];
  for (const command of commands) {
    const causationId = locked.payment.event_id;
    transitions.push(
      await deps.lifecycle.transitionOrder(tx, { orderId: ref.orderId, command, causationId }),
    );
  }
  return { outcome, decision, transitions, waitMs };
}

/** Writes all but the order, in lock order, and returns the order's commands. */
async function write(
  tx: Tx,
  locked: LockedPayment,
  decision: Decision,
  outcome: AttemptOutcome,
  waitMs: number | null,
): Promise<OrderCommand[]> {
  const attempts = locked.situation.attemptsInRound;
  switch (decision.write) {
    case 'nothing':
      return [];
    case 'captured':
      return writeCapture(tx, locked, decision, outcome as Captured);
    case 'stray-capture':
      if (decision.endsInReview) await endLease(tx, locked, { state: 'REVIEW' });
      await addRefund(tx, locked, outcome as Captured, decision.refund);
      await openBreak(tx, locked, decision.opensBreak, { ...(outcome as Captured) });
      return decision.endsInReview
        ? [{ type: 'review', failure: { code: decision.opensBreak, attempts } }]
        : [];
    case 'declined-retry':
      await endLease(tx, locked, { state: 'WAIT', next_at: afterMs(waitMs ?? 0), unsettled_since: null });
      await closeDeclined(tx, locked, outcome as Declined);
      return [];
    case 'declined-void':
      await endLease(tx, locked, { state: 'VOID', unsettled_since: null });
      await closeDeclined(tx, locked, outcome as Declined);
      return [{ type: 'cancel' }];
    case 'declined-failed': {
      const { code } = outcome as Declined;
      await endLease(tx, locked, { state: 'DECLINED', unsettled_since: null });
      await closeDeclined(tx, locked, outcome as Declined);
      if (decision.deadLetter) await addPaymentDeadLetter(tx, locked, code);
      return [{ type: 'fail', failure: { code, attempts } }];
    }
    case 'wait':
      await endLease(tx, locked, {
        state: 'WAIT',
        next_at: afterMs(waitMs ?? 0),
        unsettled_since: locked.payment.unsettled_since ?? databaseNow,
      });
      await updateAttempt(tx, locked, { state: decision.attempt });
      return [];
    case 'review':
      await endLease(tx, locked, { state: 'REVIEW' });
      await updateAttempt(tx, locked, { state: decision.attempt });
      await openBreak(tx, locked, decision.opensBreak, { ...outcome });
      return [{ type: 'review', failure: { code: decision.opensBreak, attempts } }];
  }
}

async function writeCapture(
  tx: Tx,
  locked: LockedPayment,
  decision: Extract<Decision, { write: 'captured' }>,
  captured: Captured,
): Promise<OrderCommand[]> {
  await endLease(tx, locked, { state: 'CAPTURED', unsettled_since: null });
  await updateAttempt(tx, locked, {
    state: 'SUCCEEDED',
    charge_id: captured.chargeId,
    closed_at: databaseNow,
  });
  if (decision.refund !== null) await addRefund(tx, locked, captured, decision.refund);
  if (decision.opensBreak !== null) await openBreak(tx, locked, decision.opensBreak, { ...captured });
  if (locked.payment.state === 'REVIEW') await closeUnknownOutcome(tx, locked, 'captured');
  return decision.order.map((type) =>
    type === 'review'
      ? { type, failure: { code: 'amount_mismatch', attempts: locked.situation.attemptsInRound } }
      : { type },
  );
}
