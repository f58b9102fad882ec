import type { Logger } from '../logger.ts';

/** So often at most: a replay of a whole topic is one message a minute. */
const reportEveryMs = 60_000;
/** Ids that a message names. */
const idsMax = 10;

/** Tells of ids that came from two topics: replayed to another topic, or two producers' events with the same id. */
export type ClashReport = (eventIds: readonly string[]) => void;

export function createClashReport(
  logger: Logger,
  consumerName: string,
  now: () => number = () => performance.now(),
): ClashReport {
  let lastMs = Number.NEGATIVE_INFINITY;
  let count = 0;
  let ids: string[] = [];
  return (eventIds) => {
    if (eventIds.length === 0) return;
    count += eventIds.length;
    ids = [...ids, ...eventIds].slice(0, idsMax);
    if (now() - lastMs < reportEveryMs) return;
    logger.warn(
      { consumerName, count, eventIds: ids },
      'events were left out as duplicates of events from another topic: if two producers use the same ids, set identity to "topic" or "source"',
    );
    lastMs = now();
    count = 0;
    ids = [];
  };
}
