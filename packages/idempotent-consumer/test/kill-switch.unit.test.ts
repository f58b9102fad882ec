import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKillSwitch,
  type KillSwitchOptions,
  killSwitchDefaults,
} from '../src/operation/kill-switch.ts';

function setUp(options: Partial<KillSwitchOptions> = {}) {
  const clock = { nowMs: 1_000_000 };
  const killSwitch = createKillSwitch({ ...killSwitchDefaults, ...options }, () => clock.nowMs);
  const keys = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `k${from + i}`);
  /** A try as the consumer makes it. @returns whether it was committed */
  const attempt = (succeeded: number, failedKeys: string[]): boolean => {
    if (killSwitch.trips({ succeeded, failedKeys, undecided: 0 })) {
      killSwitch.tripped();
      return false;
    }
    killSwitch.committed({ succeeded, failedKeys });
    return true;
  };
  return { clock, killSwitch, keys, attempt };
}

describe('kill switch', () => {
  it('trips at the stated number of failures of the stated number of keys, and not before', () => {
    const { killSwitch, attempt, keys } = setUp();
    for (const key of keys(19)) expect(attempt(0, [key])).toBe(true);
    expect(attempt(0, ['k19'])).toBe(false);
    expect(killSwitch.isOpen()).toBe(true);
  });

  it('is not tripped by few keys, however many of their events fail', () => {
    const { attempt, keys } = setUp();
    for (let i = 0; i < 100; i++) expect(attempt(0, keys(9))).toBe(true);
  });

  it('is not tripped by a share that is small, nor by what is older than the window', () => {
    const { attempt, keys, clock } = setUp();
    for (const key of keys(100)) expect(attempt(2, [key])).toBe(true);
    clock.nowMs += killSwitchDefaults.windowMs + 1;
    for (let i = 0; i < 100; i++) {
      expect(attempt(0, [`old${i}`])).toBe(true);
      clock.nowMs += killSwitchDefaults.windowMs / 10;
    }
  });

  it('a million good events a moment ago do not hide that all fail now', () => {
    const { attempt, keys } = setUp();
    for (let i = 0; i < 10_000; i++) attempt(100, []);
    const committed = keys(1_000).filter((key) => attempt(0, [key]));
    expect(committed.length).toBeLessThanOrEqual(100);
  });

  it('one bad event at the head of a good chunk does not trip it, open or closed', () => {
    const { killSwitch, attempt, keys } = setUp();
    expect(killSwitch.trips({ succeeded: 0, failedKeys: keys(20), undecided: 480 })).toBe(false);
    expect(killSwitch.trips({ succeeded: 0, failedKeys: keys(250), undecided: 250 })).toBe(true);
    attempt(0, keys(20));
    expect(killSwitch.trips({ succeeded: 0, failedKeys: ['bad'], undecided: 99 })).toBe(false);
    expect(attempt(99, ['bad'])).toBe(true);
    expect(killSwitch.isOpen()).toBe(false);
  });

  it('is not closed by failures that were under way when it opened', () => {
    const { killSwitch, attempt, keys } = setUp();
    attempt(0, keys(20));
    expect(killSwitch.committed({ succeeded: 0, failedKeys: keys(3) })).toEqual({ hasClosed: false });
    expect(killSwitch.committed({ succeeded: 0, failedKeys: [] })).toEqual({ hasClosed: false });
    expect(killSwitch.committed({ succeeded: 1, failedKeys: [] })).toEqual({ hasClosed: true });
  });

  it('while it is open one try at a time is made, after delays that grow up to the limit', () => {
    const { killSwitch, attempt, keys, clock } = setUp();
    attempt(0, keys(20));
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      const sinceMs = clock.nowMs;
      while (!killSwitch.takeTurn()) clock.nowMs += 10;
      expect(killSwitch.takeTurn()).toBe(false);
      waits.push(clock.nowMs - sinceMs);
      expect(attempt(0, ['k'])).toBe(false);
    }
    expect(waits[0]).toBeGreaterThanOrEqual(500);
    expect(waits[0]).toBeLessThanOrEqual(1_010);
    for (const wait of waits.slice(8)) expect(wait).toBeGreaterThanOrEqual(30_000);
    for (const wait of waits) expect(wait).toBeLessThanOrEqual(60_010);
  });

  it('a turn that was not used is somebody else’s; one that nobody gave back ends after the longest delay', () => {
    const { killSwitch, attempt, keys, clock } = setUp();
    attempt(0, keys(20));
    clock.nowMs += 1_000;
    expect(killSwitch.takeTurn()).toBe(true);
    killSwitch.giveBackTurn();
    expect(killSwitch.takeTurn()).toBe(true);
    clock.nowMs += killSwitchDefaults.retryMaxMs - 1;
    expect(killSwitch.takeTurn()).toBe(false);
    clock.nowMs += 1;
    expect(killSwitch.takeTurn()).toBe(true);
  });

  it('what opens again soon after a good event goes on with the delay where it was', () => {
    const { killSwitch, attempt, keys, clock } = setUp();
    for (let i = 0; i < 8; i++) {
      attempt(0, keys(20));
      clock.nowMs += 1;
      attempt(1, []);
      expect(killSwitch.isOpen()).toBe(false);
    }
    killSwitch.trips({ succeeded: 0, failedKeys: keys(20), undecided: 0 });
    expect(killSwitch.tripped().delayMs).toBeGreaterThanOrEqual(30_000);
  });

  it('an override lets everything pass, closes it with the next event, and counts nothing', () => {
    const { killSwitch, attempt, keys, clock } = setUp();
    attempt(0, keys(20));
    killSwitch.offUntil(clock.nowMs + 1_000);
    expect([killSwitch.takeTurn(), killSwitch.takeTurn()]).toEqual([true, true]);
    for (const key of keys(100)) expect(attempt(0, [key])).toBe(true);
    expect(killSwitch.isOpen()).toBe(false);
    clock.nowMs += 1_000;
    for (const key of keys(19)) expect(attempt(0, [key])).toBe(true);
    expect(attempt(0, ['k19'])).toBe(false);
  });

  const outcomes = fc.record({
    succeeded: fc.nat(30),
    failedKeys: fc.array(fc.nat(40).map(String), { maxLength: 30 }),
    afterMs: fc.nat(20_000),
  });

  it('holds what it states for any series of tries', () => {
    fc.assert(
      fc.property(fc.array(outcomes, { maxLength: 60 }), (series) => {
        const { killSwitch, clock } = setUp();
        let sinceClosed: { atMs: number; failedKeys: string[] }[] = [];
        for (const { afterMs, ...tried } of series) {
          clock.nowMs += afterMs;
          const wasOpen = killSwitch.isOpen();
          const all = tried.succeeded + tried.failedKeys.length;
          if (killSwitch.trips({ ...tried, undecided: 0 })) {
            const failed = [
              ...sinceClosed.filter(({ atMs }) => atMs > clock.nowMs - killSwitchDefaults.windowMs),
              tried,
            ].flatMap(({ failedKeys }) => failedKeys);
            // It never trips for less than it states.
            if (!wasOpen) expect(failed.length).toBeGreaterThanOrEqual(killSwitchDefaults.failuresMin);
            if (!wasOpen) expect(new Set(failed).size).toBeGreaterThanOrEqual(killSwitchDefaults.keysMin);
            if (wasOpen) expect(tried.failedKeys.length * 2).toBeGreaterThanOrEqual(all);
            killSwitch.tripped();
            expect(killSwitch.isOpen()).toBe(true);
            continue;
          }
          const isBad =
            tried.failedKeys.length >= killSwitchDefaults.failuresMin &&
            new Set(tried.failedKeys).size >= killSwitchDefaults.keysMin &&
            tried.failedKeys.length === all;
          // A try that is bad by itself, and has nothing good, never passes.
          if (isBad && sinceClosed.length === 0) expect.unreachable();
          sinceClosed.push({ atMs: clock.nowMs, failedKeys: tried.failedKeys });
          if (killSwitch.committed(tried).hasClosed) sinceClosed = [];
          expect(killSwitch.isOpen()).toBe(wasOpen && !(tried.succeeded > tried.failedKeys.length));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('under a release in which everything fails at most 19 failures are committed until it opens, whatever the chunks', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 60, maxLength: 60 }), (sizes) => {
        const { attempt } = setUp();
        let next = 0;
        let committed = 0;
        for (const size of sizes) {
          const chunk = Array.from({ length: size }, () => `k${next++ % 300}`);
          if (!attempt(0, chunk)) break;
          committed += size;
        }
        expect(committed).toBeLessThan(killSwitchDefaults.failuresMin);
      }),
    );
  });
});
