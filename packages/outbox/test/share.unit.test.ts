import { expect, it } from 'vitest';
import { shareOf } from '../src/relay/share.ts';

it.each([1, 2, 3, 5, 7, 63, 64, 65, 100])(
  '%i relays share all 64 buckets, with a difference of one at most',
  (n) => {
    const ids = Array.from({ length: n }, (_, i) => `relay-${i}`);
    const shares = ids.map((id) => shareOf(ids.toReversed(), id));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBe(64);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
  },
);

it('a relay that is not registered gets nothing', () => {
  expect(shareOf(['a', 'b'], 'c')).toBe(0);
  expect(shareOf([], 'c')).toBe(0);
});
