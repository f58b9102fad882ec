import { bucketOf } from '../../src/index.ts';
import type { Takeover } from './ledger.ts';
import type { ReadRecord } from './topic.ts';

/** Clocks of the processes and the database are one machine's, read in milliseconds. */
const clockToleranceMs = 2;

/**
 * The duplicates for which no takeover accounts: none of their bucket happened between the two times at which relays
 * began to publish the event.
 * @param records of one partition, in order
 */
export function unexplainedDuplicates(
  records: readonly ReadRecord[],
  taken: readonly Takeover[],
): ReadRecord[] {
  const last = new Map<string, ReadRecord>();
  return records.filter((record) => {
    const earlier = last.get(record.id);
    last.set(record.id, record);
    if (earlier === undefined) return false;
    const bucket = bucketOf(record.key);
    // A relay that stood still may send late what it began before: the stamps need not be in order.
    const from = Math.min(earlier.relayedAtMs, record.relayedAtMs) - clockToleranceMs;
    const to = Math.max(earlier.relayedAtMs, record.relayedAtMs) + clockToleranceMs;
    return !taken.some(({ buckets, atMs }) => buckets.includes(bucket) && from <= atMs && atMs <= to);
  });
}
