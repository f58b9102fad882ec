import { run } from './answers.ts';
import { bucketOf } from './bucket.ts';
import { asError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { PoolLike } from './postgres.ts';
import { eventsIn } from './wake-message.ts';

/**
 * Sends NOTIFY on a connection of its own: inside the caller's transaction it would take a lock at commit that is
 * global to the server. The first is sent at once; at most one is under way, and those asked for within `debounceMs` of
 * the latest become one.
 */
export function createWake(deps: {
  pool: Pick<PoolLike, 'query'> | undefined;
  channel: string;
  debounceMs: number;
  logger: Logger;
}): { wake(keys?: string | readonly string[]): void; close(): Promise<void> } {
  const { pool, channel, debounceMs, logger } = deps;
  /** Where there may be events. */
  const due = { anywhere: false, buckets: new Set<number>() };
  let sentAtMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let closed = false;

  function wake(keys?: string | readonly string[]): void {
    if (pool === undefined || closed) return;
    if (keys === undefined) due.anywhere = true;
    else for (const key of [keys].flat()) due.buckets.add(bucketOf(key));
    sendWhenAllowed();
  }

  const isDue = (): boolean => due.anywhere || due.buckets.size > 0;

  function sendWhenAllowed(): void {
    if (!isDue() || closed || sending !== undefined || timer !== undefined) return;
    const waitMs = sentAtMs + debounceMs - performance.now();
    if (waitMs <= 0) send();
    else {
      timer = setTimeout(() => {
        timer = undefined;
        send();
      }, waitMs).unref();
    }
  }

  function send(): void {
    sentAtMs = performance.now();
    sending = notify().finally(() => {
      sending = undefined;
      sendWhenAllowed();
    });
  }

  /** Does not wait for the disk: a notification outlives no crash anyway. */
  async function notify(): Promise<void> {
    const message = eventsIn(due.anywhere ? undefined : due.buckets);
    due.anywhere = false;
    due.buckets.clear();
    try {
      if (pool === undefined) return;
      await run(pool, `SELECT pg_notify($1, $2) FROM set_config('synchronous_commit', 'off', true)`, [
        channel,
        message,
      ]);
    } catch (thrown) {
      // The relay finds the events by polling.
      logger.warn({ err: asError(thrown) }, 'outbox wake-up not sent');
    }
  }

  async function close(): Promise<void> {
    closed = true;
    clearTimeout(timer);
    await sending;
    if (isDue()) await notify();
  }

  return { wake, close };
}
