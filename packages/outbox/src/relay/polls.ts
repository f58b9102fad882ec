import type { RelaySettings } from './options.ts';

/**
 * When all buckets are to be looked at, asked for or not. Shortly after events there are often more; after a while
 * without, one look per interval will do.
 */
export function createPolls({
  pollIntervalMs,
  pollIntervalMinMs,
}: Pick<RelaySettings, 'pollIntervalMs' | 'pollIntervalMinMs'>) {
  let idleMs = pollIntervalMs;
  let dueMs = 0;

  const untilDueMs = (): number => Math.max(0, dueMs - performance.now());

  /** @returns to be called when the look has succeeded; until then a poll is due */
  function begin({ isPoll }: { isPoll: boolean }): (hasFound: boolean) => void {
    const latestMs = isPoll ? Number.POSITIVE_INFINITY : dueMs;
    dueMs = 0;
    return (hasFound) => {
      if (hasFound) idleMs = pollIntervalMinMs;
      else if (isPoll) idleMs = Math.min(idleMs * 2, pollIntervalMs);
      dueMs = Math.min(latestMs, performance.now() + idleMs);
    };
  }

  return { untilDueMs, begin };
}
