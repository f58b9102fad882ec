import { setTimeout as sleep } from 'node:timers/promises';
import { DevStackError } from './errors.ts';

/**
 * Asks `probe` until it answers something other than null, undefined or false, and returns that answer.
 * A probe that throws has no answer yet.
 * @throws DevStackError DEV_STACK_TIMEOUT after `timeoutMs`, naming `what` and the error, if the probe's last answer was one
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | null | undefined | false>,
  options: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
  const { timeoutMs = 60_000, intervalMs = 50 } = options;
  const expiry = new AbortController();
  const timer = setTimeout(() => expiry.abort(), timeoutMs);
  const expired = new Promise<null>((resolve) => {
    expiry.signal.addEventListener('abort', () => resolve(null), { once: true });
  });
  let lastError: unknown;
  try {
    while (!expiry.signal.aborted) {
      // A probe that never answers must not outwait the limit either.
      const asked = probe().then(
        (found) => {
          lastError = undefined;
          return found;
        },
        (error: unknown) => {
          lastError = error;
          return null;
        },
      );
      const answer = await Promise.race([asked, expired]);
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      await Promise.race([sleep(intervalMs), expired]);
    }
  } finally {
    clearTimeout(timer);
  }
  const why = lastError === undefined ? '' : `; last error: ${messageOf(lastError)}`;
  throw new DevStackError('DEV_STACK_TIMEOUT', `waited ${timeoutMs} ms for ${what}${why}`, {
    cause: lastError,
  });
}

/** fetch() says no more than "fetch failed"; the reason is in its cause. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
