import { describe, expect, it } from 'vitest';
import { fullJitterMs } from '../src/backoff.ts';

describe('full jitter', () => {
  const backoff = { baseMs: 100, maxMs: 1_000 };

  it('lies anywhere between nothing and a limit that doubles up to the longest delay', () => {
    const longest = [1, 2, 3, 4, 5, 6].map((attempt) => fullJitterMs(attempt, backoff, () => 0.999_999));
    expect(longest).toEqual([99, 199, 399, 799, 999, 999]);
    expect(fullJitterMs(6, backoff, () => 0)).toBe(0);
    expect(fullJitterMs(6, backoff, () => 0.5)).toBe(500);
  });

  it('stays finite for ever', () => {
    expect(fullJitterMs(100_000, { baseMs: 1e9, maxMs: 1_000 }, () => 0.5)).toBe(500);
  });
});
