import { setTimeout as sleep } from 'node:timers/promises';

/** For the pool of an open loop: who has to wait long for a connection counts as slow, and does not end the measurement. */
export const acquireTimeoutMs = 300_000;

/**
 * Calls `one` at a fixed rate, whether or not earlier calls have ended, and waits for all of them. A caller that waits
 * for the slow ones would leave out just those that a user has to wait for.
 * @param until ends it early
 */
export async function openLoop(
  o: { ratePerSecond: number; count: number; until?: () => boolean },
  one: (n: number) => Promise<void>,
): Promise<number> {
  const { ratePerSecond, count, until = () => false } = o;
  const running = new Set<Promise<void>>();
  const startMs = performance.now();
  let n = 0;
  while (n < count && !until()) {
    const due = Math.min(count, Math.floor(((performance.now() - startMs) * ratePerSecond) / 1000));
    for (; n < due; n += 1) {
      const call = one(n).finally(() => running.delete(call));
      running.add(call);
    }
    await sleep(1);
  }
  await Promise.all(running);
  return n;
}
