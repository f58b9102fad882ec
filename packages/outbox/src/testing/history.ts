import { OutboxError } from '../errors.ts';

/** What was written and what a consumer saw; events are named by their ids. */
export interface History {
  /**
   * The committed events of each aggregate, in the order in which its writers wrote them: by a counter of the
   * aggregate, raised under its lock in the transaction of the event. Not by `seq`, which the relay itself sorts by.
   */
  readonly written: ReadonlyMap<string, readonly string[]>;
  /** Everything on the topic, one list for each partition, in the order of the offsets. */
  readonly read: readonly (readonly string[])[];
}

/** What {@link checkHistory} found. The guarantee holds if `lost` and `inverted` are 0. */
export interface HistoryReport {
  /** Events written. */
  readonly events: number;
  /** Events written that are on no partition. */
  readonly lost: number;
  /**
   * Events that a consumer may see only after a later one of their aggregate: their first appearance is behind that
   * of a later event, or on another partition than the aggregate's earliest event that was read.
   */
  readonly inverted: number;
  /** Appearances of written events beyond the first. */
  readonly duplicates: number;
  /** Records whose event nobody wrote: rolled back, or not of this history. */
  readonly unexpected: number;
  /** The first of what is lost, inverted or unexpected, in words. */
  readonly examples: readonly string[];
}

const examplesMax = 10;

/**
 * Compares what was written with what was read. Pure, and linear in the number of records.
 * @throws OutboxError `OUTBOX_HISTORY_INVALID` if an id is written twice
 */
export function checkHistory({ written, read }: History): HistoryReport {
  const aggregateOf = aggregates(written);
  const { places, unexpected } = firstAppearances(read, aggregateOf);
  const lost: string[] = [];
  const inverted: string[] = [];
  for (const [aggregate, ids] of written) {
    const seen = ids.flatMap((id) => {
      const offsets = places.get(id);
      if (offsets !== undefined) return [{ id, offsets }];
      lost.push(`lost: ${id} of ${aggregate}`);
      return [];
    });
    inverted.push(...invertedOf(seen).map((what) => `inverted: ${what} of ${aggregate}`));
  }
  const examples = [...lost, ...inverted, ...unexpected.map((id) => `unexpected: ${id}`)];
  const records = read.reduce((sum, partition) => sum + partition.length, 0);
  return {
    events: aggregateOf.size,
    lost: lost.length,
    inverted: inverted.length,
    duplicates: records - unexpected.length - places.size,
    unexpected: unexpected.length,
    examples: examples.slice(0, examplesMax),
  };
}

/** A written event with its first offset on each partition that has it. */
interface SeenEvent {
  readonly id: string;
  readonly offsets: ReadonlyMap<number, number>;
}

/** @param seen the events of one aggregate that were read, in the order in which they were written */
function invertedOf(seen: readonly SeenEvent[]): string[] {
  const home = Math.min(...(seen[0]?.offsets.keys() ?? []));
  const inverted: string[] = [];
  let earliest = { id: '', offset: Number.POSITIVE_INFINITY };
  for (const { id, offsets } of seen.toReversed()) {
    const offset = offsets.get(home);
    if (offset === undefined) inverted.push(`${id} is not on partition ${home} as the events before it, all`);
    else if (offset > earliest.offset) inverted.push(`${id} appears after ${earliest.id}, both`);
    else earliest = { id, offset };
  }
  return inverted;
}

function aggregates(written: History['written']): Map<string, string> {
  const aggregateOf = new Map<string, string>();
  for (const [aggregate, ids] of written) {
    for (const id of ids) {
      if (aggregateOf.has(id))
        throw new OutboxError('OUTBOX_HISTORY_INVALID', `event ${id} is written twice`);
      aggregateOf.set(id, aggregate);
    }
  }
  return aggregateOf;
}

/** For each written event its first offset on each partition that has it. */
function firstAppearances(read: History['read'], written: { has(id: string): boolean }) {
  const places = new Map<string, Map<number, number>>();
  const unexpected: string[] = [];
  read.forEach((ids, partition) => {
    ids.forEach((id, offset) => {
      if (!written.has(id)) {
        unexpected.push(id);
        return;
      }
      const seen = places.get(id) ?? new Map<number, number>();
      if (!seen.has(partition)) seen.set(partition, offset);
      places.set(id, seen);
    });
  });
  return { places, unexpected };
}
