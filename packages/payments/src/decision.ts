import type { PaymentAttemptState } from '@orders/db';
import type { OrderState } from '@orders/events';
import { isOpen } from './attempt.ts';
import { type BackoffOptions, declineCeilingMs, unsettledCeilingMs } from './backoff.ts';
import type { Captured, Declined, GatewayOutcome } from './gateway.ts';

/** What an attempt's owner comes back with. `lease-expired` is the sweeper's word for an owner who did not. */
export type AttemptOutcome = GatewayOutcome | { readonly outcome: 'lease-expired' };

/** All that matters of an order, its payment and its attempts, read under their locks. */
export interface Situation {
  /** The attempt that the outcome is about. */
  readonly attempt: {
    readonly state: PaymentAttemptState;
    readonly chargeId: string | null;
    /** Sends allowed so far. */
    readonly permits: number;
    readonly amountMinor: number;
    readonly currency: string;
  };
  /** Whether another attempt of this payment is open or has won. */
  readonly otherOpenOrWon: boolean;
  /** Attempts opened in this round, this one included. */
  readonly attemptsInRound: number;
  readonly order: OrderState;
  readonly cancelRequested: boolean;
  /** Whether the outcome comes from the worker that holds the payment now. */
  readonly tokenIsCurrent: boolean;
  /** Whether the captured charge has a refund row already. */
  readonly chargeHasRefund: boolean;
  /** Whether the payment is in REVIEW. */
  readonly inReview: boolean;
  /** Whether the lease of the payment has run out. */
  readonly leaseHasExpired: boolean;
  /** How long the outcome of this payment has been open, 0 when it was not. */
  readonly unsettledMs: number;
}

/** The limits a decision depends on. */
export interface Rules extends BackoffOptions {
  readonly attemptsMax: number;
  readonly paymentDeadlineMs: number;
  readonly replaysDeclines: boolean;
}

/** Why a charge is given back. */
export type RefundReason = 'cancelled' | 'late_capture' | 'second_charge';
/** What a break row says is wrong. */
export type BreakKind =
  | 'outcome_unknown'
  | 'late_capture'
  | 'second_charge'
  | 'amount_mismatch'
  /** The charge of an attempt that is still open was given back. */
  | 'charge_refunded'
  /** A payment that was leased although its order is gone or none of its attempts is open. */
  | 'lease_inexplicable';

/** What is to be written, in one transaction. */
export type Decision =
  /** Nothing: somebody else has said the last word, or the same word. */
  | { readonly write: 'nothing'; readonly because: NothingBecause }
  /** The attempt has won; the payment is CAPTURED. */
  | {
      readonly write: 'captured';
      /** Commands for the order, in this sequence. */
      readonly order: readonly ('markPaid' | 'requestRefund' | 'review')[];
      readonly refund: RefundReason | null;
      readonly opensBreak: BreakKind | null;
    }
  /** Money that cannot be this attempt's success: a break and a refund, all else stays. */
  | {
      readonly write: 'stray-capture';
      readonly refund: RefundReason;
      readonly opensBreak: BreakKind;
      /** The attempt is still open and the gateway would say the same for ever: a person has to look. */
      readonly endsInReview: boolean;
    }
  /** The attempt is DECLINED, the payment waits for its next one. */
  | { readonly write: 'declined-retry'; readonly waitCeilingMs: number }
  /** The attempt is DECLINED, so is the payment, and the order FAILED. */
  | { readonly write: 'declined-failed'; readonly deadLetter: boolean }
  /** The attempt is DECLINED and a cancel was asked for: payment VOID, order CANCELLED. */
  | { readonly write: 'declined-void' }
  /** The attempt stays open; it is asked about or sent again, with the same key. */
  | { readonly write: 'wait'; readonly attempt: 'SENT' | 'UNKNOWN'; readonly waitCeilingMs: number }
  /** The attempt stays open and a person has to look: payment and order in REVIEW, and a break. */
  | {
      readonly write: 'review';
      readonly attempt: 'SENT' | 'UNKNOWN';
      readonly opensBreak: 'outcome_unknown' | 'charge_refunded';
    };

type NothingBecause =
  | 'already-recorded'
  | 'charge-has-refund'
  | 'stale-token'
  | 'attempt-closed'
  | 'lease-renewed';

/**
 * The table of outcomes: what to write when the gateway has spoken. Pure, total, and the only place that knows.
 *
 * A capture is a fact and is stored whoever brings it. Every other outcome needs the current lease *and* an attempt
 * that is still open: either alone would keep a late answer from undoing a newer one, and both are kept.
 */
export function decide(situation: Situation, outcome: AttemptOutcome, rules: Rules): Decision {
  if (outcome.outcome === 'captured') return decideCapture(situation, outcome);
  if (!situation.tokenIsCurrent) return { write: 'nothing', because: 'stale-token' };
  const { state } = situation.attempt;
  if (!isOpen(state)) return { write: 'nothing', because: 'attempt-closed' };
  switch (outcome.outcome) {
    case 'declined':
      // A gateway that forgets its declines may try an earlier send of the same key afresh, and capture.
      if (!rules.replaysDeclines && situation.attempt.permits > 1) {
        return unsettled(situation, 'UNKNOWN', rules);
      }
      return decideDecline(situation, outcome, rules);
    case 'not-executed':
      // This send is settled; what an earlier one did is as open as before.
      return unsettled(situation, state === 'UNKNOWN' ? 'UNKNOWN' : 'SENT', rules);
    case 'unknown':
      return unsettled(situation, 'UNKNOWN', rules);
    case 'lease-expired':
      if (!situation.leaseHasExpired) return { write: 'nothing', because: 'lease-renewed' };
      // Never REVIEW: after an outage of ours the gateway has not even been asked yet. The sweeper counts the owners.
      return { write: 'wait', attempt: 'UNKNOWN', waitCeilingMs: 0 };
  }
}

function decideCapture(situation: Situation, captured: Captured): Decision {
  const { attempt } = situation;
  if (attempt.state === 'SUCCEEDED' && attempt.chargeId === captured.chargeId) {
    return { write: 'nothing', because: 'already-recorded' };
  }
  // A charge on its way back to the customer pays for nothing any more.
  if (situation.chargeHasRefund) {
    // The gateway would say so whenever it is asked about the open attempt.
    if (isOpen(attempt.state) && !situation.inReview) {
      return { write: 'review', attempt: 'UNKNOWN', opensBreak: 'charge_refunded' };
    }
    return { write: 'nothing', because: 'charge-has-refund' };
  }
  if (attempt.state === 'SUCCEEDED' || situation.otherOpenOrWon) return strayCapture(attempt);
  return decideOrderOfCapture(situation, captured);
}

const strayCapture = ({ state }: Situation['attempt']) =>
  ({
    write: 'stray-capture',
    refund: 'second_charge',
    opensBreak: 'second_charge',
    endsInReview: isOpen(state),
  }) as const;

/** What a capture that no other attempt contests means for its order. */
export function decideOrderOfCapture(
  { order, attempt, cancelRequested }: Pick<Situation, 'order' | 'attempt' | 'cancelRequested'>,
  captured: Captured,
): Extract<Decision, { write: 'captured' | 'stray-capture' }> {
  const won = { write: 'captured', refund: null, opensBreak: null } as const;
  switch (order) {
    case 'FAILED':
    case 'CANCELLED':
      return { ...won, order: ['requestRefund'], refund: 'late_capture', opensBreak: 'late_capture' };
    case 'CANCEL_PENDING':
      return { ...won, order: ['requestRefund'], refund: 'cancelled' };
    case 'PAYMENT_PENDING':
    case 'REVIEW':
      if (cancelRequested) {
        const viaPaid = order === 'REVIEW' ? [] : (['markPaid'] as const);
        return { ...won, order: [...viaPaid, 'requestRefund'], refund: 'cancelled' };
      }
      if (captured.amountMinor !== attempt.amountMinor || captured.currency !== attempt.currency) {
        return { ...won, order: ['review'], opensBreak: 'amount_mismatch' };
      }
      return { ...won, order: ['markPaid'] };
    default:
      // An order that was never accepted, or is paid although no attempt of its payment has won: inexplicable.
      return strayCapture(attempt);
  }
}

function decideDecline(situation: Situation, declined: Declined, rules: Rules): Decision {
  if (situation.cancelRequested) return { write: 'declined-void' };
  if (declined.kind === 'hard') return { write: 'declined-failed', deadLetter: false };
  if (situation.attemptsInRound >= rules.attemptsMax) return { write: 'declined-failed', deadLetter: true };
  return { write: 'declined-retry', waitCeilingMs: declineCeilingMs(situation.attemptsInRound, rules) };
}

/** Waits for certainty, up to the deadline. An open attempt is never turned into a failure. */
function unsettled(situation: Situation, attempt: 'SENT' | 'UNKNOWN', rules: Rules): Decision {
  const remainingMs = rules.paymentDeadlineMs - situation.unsettledMs;
  if (remainingMs <= 0) return { write: 'review', attempt, opensBreak: 'outcome_unknown' };
  const waitCeilingMs = Math.min(remainingMs, unsettledCeilingMs(situation.unsettledMs, rules));
  return { write: 'wait', attempt, waitCeilingMs };
}
