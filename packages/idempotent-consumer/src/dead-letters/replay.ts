import type { AuditedBy } from '../operation/control.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import { assertReason } from './dead-letter-jobs.ts';
import { type DeadLetterDecision, decideDeadLetters } from './decide-dead-letters.ts';

/**
 * Has the event of one dead letter tried again: its stored row is due, as if it had never been tried, and the consumer
 * handles it, in the order of its key. Nothing is published. Audited.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export const replayDeadLetter = (
  tx: ConsumerTransaction,
  id: string,
  by: AuditedBy,
): Promise<DeadLetterDecision> => decide(tx, id, 'REPLAY', by);

/**
 * Gives the event of one dead letter up for good; what waits behind it goes on. Audited.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export const discardDeadLetter = (
  tx: ConsumerTransaction,
  id: string,
  by: AuditedBy,
): Promise<DeadLetterDecision> => decide(tx, id, 'DISCARD', by);

async function decide(
  tx: ConsumerTransaction,
  id: string,
  action: 'REPLAY' | 'DISCARD',
  by: AuditedBy,
): Promise<DeadLetterDecision> {
  assertReason(by.reason);
  const [decision] = await decideDeadLetters(tx, [id], action, by);
  return decision as DeadLetterDecision;
}
