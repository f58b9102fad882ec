import { asError } from './errors.ts';
import type { Logger } from './logger.ts';
import { type PoolLike, wakeFor } from './postgres.ts';

/**
 * Sends NOTIFY on a connection of its own: inside the caller's transaction it would take a lock at commit that is
 * global to the server. At most one is under way, and those asked for within `debounceMs` become one.
 */
export function createWake(deps: {
  pool: Pick<PoolLike, 'query'> | undefined;
  channel: string;
  debounceMs: number;
  logger: Logger;
}): { wake(): void; close(): Promise<void> } {
  const { pool, channel, debounceMs, logger } = deps;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let again = false;
  let closed = false;

  function wake(): void {
    if (pool === undefined || closed) return;
    if (sending !== undefined) again = true;
    else if (timer === undefined) timer = setTimeout(send, debounceMs).unref();
  }

  function send(): void {
    timer = undefined;
    sending = notify().finally(() => {
      sending = undefined;
      if (again) {
        again = false;
        wake();
      }
    });
  }

  async function notify(): Promise<void> {
    try {
      await pool?.query('SELECT pg_notify($1, $2)', [channel, wakeFor.events]);
    } catch (thrown) {
      // The relay finds the events by polling.
      logger.warn({ err: asError(thrown) }, 'outbox wake-up not sent');
    }
  }

  async function close(): Promise<void> {
    closed = true;
    const due = timer !== undefined || again;
    clearTimeout(timer);
    timer = undefined;
    again = false;
    await sending;
    if (due) await notify();
  }

  return { wake, close };
}
