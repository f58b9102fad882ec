import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { declineCeilingMs, fullJitterMs, unsettledCeilingMs } from '../src/backoff.ts';

const options = { backoffBaseMs: 100, backoffMaxMs: 1_000 };

describe('backoff', () => {
  it('doubles with every decline, up to the maximum', () => {
    expect([1, 2, 3, 4, 5, 2_000].map((n) => declineCeilingMs(n, options))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
  });

  it('an open outcome waits as long again, within base and maximum', () => {
    expect([0, 99, 300, 5_000].map((ms) => unsettledCeilingMs(ms, options))).toEqual([100, 100, 300, 1_000]);
  });

  it('full jitter is a whole number from nothing to the ceiling', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (ceilingMs, random) => {
          const waitMs = fullJitterMs(ceilingMs, random);
          expect(Number.isInteger(waitMs)).toBe(true);
          expect(waitMs).toBeGreaterThanOrEqual(0);
          expect(waitMs).toBeLessThanOrEqual(ceilingMs);
        },
      ),
    );
    expect(fullJitterMs(100, 0)).toBe(0);
    expect(fullJitterMs(100, 0.999)).toBe(100);
  });
});
