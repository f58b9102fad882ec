import { setTimeout as sleep } from 'node:timers/promises';
import { asError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { RelayMetrics } from '../metrics.ts';
import type { BucketLeases } from './bucket-leases.ts';
import type { RelayCounts } from './counts.ts';
import type { OutboxRow, OutboxRows } from './outbox-rows.ts';

/** Wait before a mark that the database did not take is tried again. */
const retryIntervalMs = 100;

/** Rows that are worth a statement of their own. */
const fewRows = 100;

/**
 * Marks what the broker acknowledged.
 * @param collectMs how long a few rows wait for more, so that one statement marks those of several flights
 */
export function createMarks(
  deps: {
    readonly rows: Pick<OutboxRows, 'mark'>;
    readonly leases: Pick<BucketLeases, 'holds' | 'relayId'>;
    readonly logger: Logger;
    readonly crashPoint: (point: string) => void;
    readonly counts: RelayCounts;
    readonly metrics: RelayMetrics;
  },
  collectMs: number,
) {
  const { leases, counts, logger } = deps;
  let collected: { rows: OutboxRow[]; marked: PromiseWithResolvers<void>; timer: NodeJS.Timeout } | undefined;

  /** Ends when the rows are marked, or the lease is over. */
  function mark(rows: readonly OutboxRow[]): Promise<void> {
    if (rows.length >= fewRows) return markNow(rows);
    collected ??= { rows: [], marked: Promise.withResolvers(), timer: setTimeout(hurry, collectMs) };
    collected.rows.push(...rows);
    return collected.marked.promise;
  }

  /** Somebody waits for a bucket to land. */
  function hurry(): void {
    if (collected === undefined) return;
    const { rows, marked, timer } = collected;
    collected = undefined;
    clearTimeout(timer);
    markNow(rows).then(marked.resolve, marked.reject);
  }

  /**
   * However often the database fails, as long as the lease holds; after that the rows are published again by whoever
   * owns the bucket.
   */
  async function markNow(rows: readonly OutboxRow[]): Promise<void> {
    for (let isRepeated = false; ; isRepeated = true) {
      try {
        const marked = await deps.rows.mark(rows, isRepeated);
        deps.crashPoint('relay.mark.after');
        count(rows.length, marked);
        return;
      } catch (thrown) {
        const fields = { relayId: leases.relayId, count: rows.length, err: asError(thrown) };
        if (!leases.holds()) {
          logger.warn(fields, 'relay: mark failed and the lease is over; the events will be published again');
          return;
        }
        logger.warn(fields, 'relay: mark failed, trying again');
        await sleep(retryIntervalMs);
      }
    }
  }

  function count(rows: number, marked: number): void {
    counts.marked += marked;
    counts.fenced += rows - marked;
    deps.metrics.marked.inc(marked);
    deps.metrics.fenced.inc(rows - marked);
    if (marked === rows) return;
    const fields = { relayId: leases.relayId, refused: rows - marked };
    logger.warn(fields, 'relay: mark refused, the bucket has another owner; its events may appear twice');
  }

  return { mark, hurry };
}

export type Marks = ReturnType<typeof createMarks>;
