/** Sums since the consumer was created. */
export interface ConsumerCounts {
  /** Events handled, committed; those that were tried again included. */
  handled: number;
  /** Events that came again. */
  duplicates: number;
  /** Of these, ids that came from another topic before: perhaps two producers use the same ids. */
  duplicatesFromOtherTopic: number;
  /** Records of types that are not handled. */
  skipped: number;
  /** Events stored: failed, or waiting behind one of their key. */
  scheduled: number;
  /** Tries of stored events that failed again. */
  retriesFailed: number;
  /** New dead letters. */
  deadLetters: number;
  /** Chunks that had to be tried once more, through no fault of their events. */
  retries: number;
  /** How often the kill switch has opened. */
  killSwitchOpened: number;
  /** Offsets that were out of range, and what the source does about them. */
  offsetResets: number;
  /** How often the source has built its client anew. */
  sourceRestarts: number;
  /** Batches that the client could not read. */
  unreadableBatches: number;
}

/** Adds to a sum, and to the counter of that name: the one place where anything is counted. */
export type Count = (what: keyof ConsumerCounts, by?: number) => void;

/** @param counters are told, too */
export function createCounts(
  counters?: Readonly<Record<keyof ConsumerCounts, { inc(value: number): void }>>,
): {
  readonly counts: Readonly<ConsumerCounts>;
  readonly count: Count;
} {
  const counts: ConsumerCounts = {
    handled: 0,
    duplicates: 0,
    duplicatesFromOtherTopic: 0,
    skipped: 0,
    scheduled: 0,
    retriesFailed: 0,
    deadLetters: 0,
    retries: 0,
    killSwitchOpened: 0,
    offsetResets: 0,
    sourceRestarts: 0,
    unreadableBatches: 0,
  };
  return {
    counts,
    count: (what, by = 1) => {
      if (by === 0) return;
      counts[what] += by;
      counters?.[what].inc(by);
    },
  };
}
