import type { ConsumedRecord } from './record.ts';

interface Identified {
  readonly id: string;
  readonly record: Pick<ConsumedRecord, 'topic'>;
}

/**
 * Events that this process has accepted a moment ago, committed: they need not be asked about once more. The inbox is
 * the judge of all others. One that comes from another topic is asked about, so that it is told of.
 */
export interface RecentIds {
  has(event: Identified): boolean;
  /** For events whose transaction is committed, and no sooner: what is rolled back comes again to be handled. */
  committed(events: readonly Identified[]): void;
}

/** @param countMax ids that are remembered at most; at least half of them, the newest, when it is full */
export function createRecentIds(countMax: number): RecentIds {
  let older = new Map<string, string>();
  let newer = new Map<string, string>();
  return {
    has: ({ id, record }) => (newer.get(id) ?? older.get(id)) === record.topic,
    committed(events) {
      for (const { id, record } of events) {
        if (newer.size >= countMax / 2) {
          older = newer;
          newer = new Map();
        }
        newer.set(id, record.topic);
      }
    },
  };
}
