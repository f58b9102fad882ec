import { expect, it } from 'vitest';
import { backoffMs } from '../src/relay/backoff.ts';

const limits = { baseMs: 100, maxMs: 30_000 };

it('doubles up to the limit', () => {
  const waits = Array.from({ length: 12 }, (_, i) => backoffMs(i + 1, limits, () => 1));
  expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(waits.at(-1)).toBe(30_000);
  expect(backoffMs(100_000, limits, () => 1)).toBe(30_000);
});

it('leaves half of the wait to chance', () => {
  expect(backoffMs(3, limits, () => 0)).toBe(200);
  expect(backoffMs(3, limits, () => 0.5)).toBe(300);
});
