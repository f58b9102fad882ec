import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, deleteExpiredIdempotencyKeys } from '@orders/db';
import type { Logger } from '@orders/service-runtime';
import type { Kysely } from 'kysely';

/** Expired idempotency keys leave in small deletes with pauses, so that no request notices. */
const defaults = { intervalMs: 60_000, batchSizeMax: 1_000, batchPauseMs: 100 };

/** Deletes expired idempotency keys for as long as this replica runs; of several replicas one at a time. */
export function startKeyRetention(
  { db, logger }: { db: Kysely<Database>; logger: Logger },
  options: Partial<typeof defaults> = {},
): { stop(): Promise<void> } {
  const { intervalMs, batchSizeMax, batchPauseMs } = { ...defaults, ...options };
  const stopping = new AbortController();
  const { signal } = stopping;
  const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined);

  async function run(): Promise<void> {
    while (!signal.aborted) {
      let deleted: number | 'busy' = 0;
      try {
        deleted = await deleteExpiredIdempotencyKeys(db, batchSizeMax);
      } catch (error) {
        // They do no harm: a key that has expired and is still there is recognised for a little longer.
        logger.warn({ err: error }, 'expired idempotency keys cannot be deleted for now');
      }
      await pause(deleted === batchSizeMax ? batchPauseMs : intervalMs);
    }
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
