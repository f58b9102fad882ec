/**
 * The wait before attempt `failures` + 1: doubles from `baseMs` to `maxMs`, half of it at random, so that those who
 * failed together do not come back together. Milliseconds, whole.
 */
export function backoffMs(
  failures: number,
  limits: { baseMs: number; maxMs: number },
  random: () => number = Math.random,
): number {
  const doublings = Math.min(failures - 1, 30);
  const wholeMs = Math.min(limits.baseMs * 2 ** doublings, limits.maxMs);
  return Math.round(wholeMs / 2 + (wholeMs / 2) * random());
}
