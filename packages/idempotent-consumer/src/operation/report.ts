import type { Count } from '../counts.ts';
import type { Accepted } from '../intake/accepting-transaction.ts';
import type { Logger } from '../logger.ts';
import type { Settled } from '../retries/stored-try.ts';

/** Tells what was committed: as counts, and as log lines about events that did not go the usual way. */
export interface Report {
  accepted(accepted: Accepted): void;
  settled(settled: Settled): void;
}

export function createReport(logger: Logger, count: Count, consumerName: string): Report {
  return {
    accepted({ handled, duplicates, fromOtherTopic, scheduled, deadLetters, invalid }) {
      count('handled', handled);
      count('duplicates', duplicates.length);
      count('duplicatesFromOtherTopic', fromOtherTopic.length);
      count('scheduled', scheduled.length);
      count('deadLetters', deadLetters.length);
      for (const { eventId, orderingKey, state, attempts, reason } of scheduled) {
        const entry = { consumerName, eventId, orderingKey, attempts, reason };
        if (state === 'SKIPPED') logger.warn(entry, 'event skipped, as routeError said');
        else if (state === 'DUE' && reason !== null)
          logger.warn(entry, 'event failed and will be tried again');
      }
      const loggedReasons = new Map(invalid.map((one) => [one.reason, one.loggedReason]));
      for (const { id, topic, partition, offset, eventId, reason } of deadLetters) {
        const logged = loggedReasons.get(reason) ?? reason;
        logger.warn({ consumerName, id, topic, partition, offset, eventId, reason: logged }, 'dead letter');
      }
      const sums = { handled, duplicates: duplicates.length, scheduled: scheduled.length };
      logger.debug({ consumerName, ...sums, deadLetters: deadLetters.length }, 'chunk accepted');
    },
    settled({ claimed, state, attempts, reason, loggedReason, deadLetters }) {
      const { eventId, orderingKey } = claimed;
      const entry = { consumerName, eventId, orderingKey, attempts, reason: loggedReason ?? reason };
      count('deadLetters', deadLetters.length);
      count(state === 'DONE' ? 'handled' : 'retriesFailed');
      if (state === 'DEAD') logger.warn(entry, 'dead letter');
      else if (state === 'DUE') logger.warn(entry, 'event failed again and will be tried again');
      else logger.info(entry, state === 'DONE' ? 'stored event handled' : 'event skipped');
    },
  };
}
