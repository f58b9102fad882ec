import type { PublishResult } from '../publisher.ts';
import type { PoisonedRow } from './held-rows.ts';
import type { OutboxRow } from './outbox-rows.ts';

/** What may be marked, which buckets met an error, and which rows will never be published. */
export interface Acknowledged {
  readonly rows: readonly OutboxRow[];
  /** First error of each bucket that had one that may pass. */
  readonly errors: ReadonlyMap<number, Error>;
  readonly poisoned: readonly PoisonedRow[];
}

/**
 * The contiguous acknowledged prefix of each bucket. An acknowledged row behind one that is not stays unmarked and is
 * published again: it may belong to the same key. Only a row that will never be published does not end its bucket's
 * prefix, but that of its own key.
 */
export function acknowledgedPrefix(
  rows: readonly OutboxRow[],
  results: readonly PublishResult[],
): Acknowledged {
  if (results.every((result) => result.acknowledged)) return { rows, errors: new Map(), poisoned: [] };
  const errors = new Map<number, Error>();
  const poisonedKeys = new Set<string>();
  const poisoned: PoisonedRow[] = [];
  const prefix: OutboxRow[] = [];
  rows.forEach((row, i) => {
    const result = results[i] as PublishResult;
    // Behind a poisoned row of its key: what becomes of it is decided when it is read again.
    if (poisonedKeys.has(row.record.key) || errors.has(row.bucket)) return;
    if (result.acknowledged) {
      prefix.push(row);
    } else if (result.permanent) {
      poisonedKeys.add(row.record.key);
      poisoned.push({ row, error: result.error });
    } else {
      errors.set(row.bucket, result.error);
    }
  });
  return { rows: prefix, errors, poisoned };
}
