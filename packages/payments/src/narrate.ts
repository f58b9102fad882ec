import type { AttemptOutcome, Decision } from './decision.ts';
import type { Logger } from './logger.ts';
import type { Recorded } from './record.ts';

/** Tells what was recorded, as loud as somebody should listen. `fields`: order, event, payment, attempt. */
export function logRecorded(logger: Logger, fields: object, recorded: Recorded): void {
  for (const transition of recorded.transitions) {
    if (transition.outcome === 'refused') {
      logger.error({ ...fields, reason: transition.reason }, 'the order did not follow its payment');
    }
  }
  const { level, message, more = {} } = sentenceOf(recorded.decision);
  const wait = recorded.waitMs === null ? {} : { waitMs: recorded.waitMs };
  logger[level]({ ...fields, ...outcomeFields(recorded.outcome), ...wait, ...more }, message);
}

function sentenceOf(decision: Decision): { level: keyof Logger; message: string; more?: object } {
  switch (decision.write) {
    case 'captured': {
      const { refund, opensBreak } = decision;
      if (refund === null && opensBreak === null) return { level: 'info', message: 'payment captured' };
      const level = opensBreak === null ? 'info' : 'error';
      return { level, message: 'payment captured, with a follow-up', more: { refund, opensBreak } };
    }
    case 'stray-capture': {
      const { endsInReview } = decision;
      return {
        level: 'error',
        message: 'a second charge was captured; it will be refunded',
        more: { endsInReview },
      };
    }
    case 'declined-retry':
      return { level: 'info', message: 'payment declined; the next attempt is scheduled' };
    case 'declined-failed':
      return { level: 'warn', message: 'payment failed', more: { deadLetter: decision.deadLetter } };
    case 'declined-void':
      return { level: 'info', message: 'payment declined after a cancel; order cancelled' };
    case 'wait':
      return { level: 'warn', message: 'payment outcome is open; the same key is tried again' };
    case 'review':
      return decision.opensBreak === 'charge_refunded'
        ? { level: 'error', message: 'the charge of an open attempt was given back: to be reviewed' }
        : { level: 'error', message: 'payment outcome is still open at its deadline: to be reviewed' };
    case 'nothing':
      return { level: 'info', message: 'outcome changed nothing', more: { because: decision.because } };
  }
}

function outcomeFields(outcome: AttemptOutcome): object {
  switch (outcome.outcome) {
    case 'captured':
      return { outcome: outcome.outcome, chargeId: outcome.chargeId };
    case 'declined':
      return { outcome: outcome.outcome, code: outcome.code, kind: outcome.kind };
    case 'lease-expired':
      return { outcome: outcome.outcome };
    default:
      return { outcome: outcome.outcome, reason: outcome.reason };
  }
}
