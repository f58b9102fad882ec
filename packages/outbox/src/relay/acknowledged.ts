import type { PublishResult } from '../publisher.ts';
import type { OutboxRow } from './outbox-rows.ts';

/** What may be marked, and which buckets met an error. */
export interface Acknowledged {
  readonly rows: readonly OutboxRow[];
  /** First error of each bucket that had one. */
  readonly errors: ReadonlyMap<number, Error>;
}

/**
 * The contiguous acknowledged prefix of each bucket. An acknowledged row behind one that is not stays unmarked and is
 * published again: it may belong to the same key.
 */
export function acknowledgedPrefix(
  rows: readonly OutboxRow[],
  results: readonly PublishResult[],
): Acknowledged {
  const errors = new Map<number, Error>();
  const prefix: OutboxRow[] = [];
  rows.forEach((row, i) => {
    const result = results[i] as PublishResult;
    if (!result.acknowledged && !errors.has(row.bucket)) errors.set(row.bucket, result.error);
    if (!errors.has(row.bucket)) prefix.push(row);
  });
  return { rows: prefix, errors };
}
