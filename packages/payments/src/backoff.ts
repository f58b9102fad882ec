/** Limits of the waiting times, in milliseconds. */
export interface BackoffOptions {
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
}

/** The longest wait after the given number of declines: it doubles with each, up to the maximum. */
export function declineCeilingMs(declines: number, options: BackoffOptions): number {
  return Math.min(options.backoffMaxMs, options.backoffBaseMs * 2 ** Math.max(0, declines - 1));
}

/**
 * The longest wait of a payment whose outcome has been open for so long: as long again, within base and maximum.
 * That doubles like the other, and needs no counter that a crash could lose.
 */
export function unsettledCeilingMs(unsettledMs: number, options: BackoffOptions): number {
  return Math.min(options.backoffMaxMs, Math.max(options.backoffBaseMs, unsettledMs));
}

/**
 * A wait between nothing and the ceiling, evenly: those who failed together do not come back together.
 * "Full jitter" of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 * @param random a number in [0, 1)
 */
export function fullJitterMs(ceilingMs: number, random: number): number {
  return Math.floor(random * (ceilingMs + 1));
}
