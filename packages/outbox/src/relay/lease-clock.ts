/** Clocks in milliseconds. */
export interface Clocks {
  /** Never set back, but may stand still while the machine is suspended. */
  monotonicMs(): number;
  /** Goes on during a suspension, but may be set. */
  wallMs(): number;
}

const systemClocks: Clocks = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/**
 * Says whether our lease still holds, without asking the database. The database counts the lease from when it wrote
 * the heartbeat, we from before we sent it, so ours ends first; the margin covers what is done between asking this
 * and doing it. Both clocks must agree that it holds: a stalled process, a suspended machine and a clock that is set
 * forward all end it.
 */
export function createLeaseClock(durationMs: number, marginMs: number, clocks: Clocks = systemClocks) {
  let startedAt: { monotonicMs: number; wallMs: number } | undefined;
  const now = () => ({ monotonicMs: clocks.monotonicMs(), wallMs: clocks.wallMs() });
  return {
    now,
    /** @param sentAt what `now()` was before the heartbeat was sent */
    renew(sentAt: { monotonicMs: number; wallMs: number }): void {
      startedAt = sentAt;
    },
    end(): void {
      startedAt = undefined;
    },
    holds(): boolean {
      if (startedAt === undefined) return false;
      const { monotonicMs, wallMs } = now();
      const elapsedMs = Math.max(monotonicMs - startedAt.monotonicMs, wallMs - startedAt.wallMs);
      return elapsedMs < durationMs - marginMs;
    },
  };
}
