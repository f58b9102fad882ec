/** Exponential backoff with full jitter. */
export interface Backoff {
  /** Upper limit of the first delay; doubles with every further one. */
  readonly baseMs: number;
  /** No delay is longer. */
  readonly maxMs: number;
}

/**
 * The delay before try `attempt + 1`, after `attempt` (1, 2, …) failures: anything between 0 and the exponential limit,
 * so that those who failed together do not come back together
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 * @param random in [0, 1)
 */
export function fullJitterMs(attempt: number, backoff: Backoff, random: () => number = Math.random): number {
  const limit = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(attempt - 1, doublingsMax));
  return Math.floor(random() * limit);
}

/** Keeps the power finite. */
const doublingsMax = 40;
