import type { ConsumedRecord } from '../record.ts';

interface Identified {
  readonly id: string;
  readonly record: Pick<ConsumedRecord, 'topic' | 'partition' | 'offset'>;
}

/**
 * Events that this process has accepted a moment ago, committed, and that a producer has published once more: they need
 * not be asked about. The inbox is the judge of all others: of one that comes from another topic, so that it is told
 * of; and of records at places that were accepted before, which come again because the group was put back, perhaps to
 * repeat what a database that was restored has lost.
 */
export interface RecentIds {
  /** Those of a chunk's events that the inbox must be asked about. */
  without<E extends Identified>(events: readonly E[]): readonly E[];
  /** For events whose transaction is committed, and no sooner: what is rolled back comes again to be handled. */
  committed(events: readonly Identified[]): void;
}

/** @param countMax ids that are remembered at most; at least half of them, the newest, when it is full */
export function createRecentIds(countMax: number): RecentIds {
  let older = new Map<string, string>();
  let newer = new Map<string, string>();
  const accepted = new Map<string, bigint>();
  const laneOf = ({ topic, partition }: Identified['record']) => `${partition}:${topic}`;

  return {
    without(events) {
      const [first] = events;
      if (first === undefined) return events;
      if (BigInt(first.record.offset) <= (accepted.get(laneOf(first.record)) ?? -1n)) return events;
      return events.filter(({ id, record }) => (newer.get(id) ?? older.get(id)) !== record.topic);
    },
    committed(events) {
      const last = events.at(-1);
      if (last === undefined) return;
      const lane = laneOf(last.record);
      const offset = BigInt(last.record.offset);
      if (offset > (accepted.get(lane) ?? -1n)) accepted.set(lane, offset);
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
