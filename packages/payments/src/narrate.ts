import type { AttemptOutcome } from './decision.ts';
import type { Logger } from './logger.ts';
import type { Recorded } from './record.ts';

/** Tells what was recorded, as loud as somebody should listen. `fields`: order, event, payment, attempt. */
export function logRecorded(logger: Logger, fields: object, recorded: Recorded): void {
  const { decision, waitMs } = recorded;
  for (const transition of recorded.transitions) {
    if (transition.outcome === 'refused') {
      logger.error({ ...fields, reason: transition.reason }, 'the order did not follow its payment');
    }
  }
  const outcome = outcomeFields(recorded.outcome);
  switch (decision.write) {
    case 'captured':
      if (decision.refund === null && decision.opensBreak === null) {
        return logger.info({ ...fields, ...outcome }, 'payment captured');
      }
      return logger.error(
        { ...fields, ...outcome, refund: decision.refund, break: decision.opensBreak },
        'payment captured, but not as it should be',
      );
    case 'stray-capture':
      return logger.error({ ...fields, ...outcome }, 'a second charge was captured; it will be refunded');
    case 'declined-retry':
      return logger.info({ ...fields, ...outcome, waitMs }, 'payment declined; next attempt is scheduled');
    case 'declined-failed':
      return logger.warn({ ...fields, ...outcome, deadLetter: decision.deadLetter }, 'payment failed');
    case 'declined-void':
      return logger.info({ ...fields, ...outcome }, 'payment declined after a cancel; order cancelled');
    case 'wait':
      return logger.warn(
        { ...fields, ...outcome, waitMs },
        'payment outcome is open; it will be asked again',
      );
    case 'review':
      return logger.error(
        { ...fields, ...outcome },
        'payment outcome is still open at its deadline: review it',
      );
    case 'nothing':
      return logger.info({ ...fields, ...outcome, because: decision.because }, 'outcome changed nothing');
  }
}

function outcomeFields(outcome: AttemptOutcome): object {
  switch (outcome.outcome) {
    case 'captured':
      return { outcome: 'captured', chargeId: outcome.chargeId };
    case 'declined':
      return { outcome: 'declined', code: outcome.code, kind: outcome.kind };
    case 'lease-expired':
      return { outcome: 'lease-expired' };
    default:
      return { outcome: outcome.outcome, reason: outcome.reason };
  }
}
