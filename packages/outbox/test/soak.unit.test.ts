import { createRandom } from '@orders/dev-stack/soak';
import { describe, expect, it } from 'vitest';
import { unexplainedDuplicates } from '../soak/adversary/duplicates.ts';
import { bucketOf } from '../src/index.ts';

describe('duplicates of an adversarial run', () => {
  const record = (id: string, relayedAtMs: number) => ({ id, key: 'k', relayedAtMs });
  const takeover = (atMs: number, bucket = bucketOf('k')) => ({ relay: 'r', buckets: [bucket], atMs });

  it('are accounted for by a takeover of their bucket between the two', () => {
    const records = [record('a', 100), record('b', 100), record('a', 300)];
    expect(unexplainedDuplicates(records, [takeover(200)])).toEqual([]);
    expect(unexplainedDuplicates(records, [])).toEqual([record('a', 300)]);
    expect(unexplainedDuplicates(records, [takeover(50), takeover(400)])).toEqual([record('a', 300)]);
    expect(unexplainedDuplicates(records, [takeover(200, (bucketOf('k') + 1) % 64)])).toEqual([
      record('a', 300),
    ]);
  });

  it('may be sent late by a relay that stood still after it had begun', () => {
    expect(unexplainedDuplicates([record('a', 300), record('a', 100)], [takeover(200)])).toEqual([]);
  });
});

describe('a seed', () => {
  it('gives the same numbers again, and another one others', () => {
    const numbers = (seed: number) => {
      const random = createRandom(seed);
      return Array.from({ length: 20 }, () => random.below(1000));
    };
    expect(numbers(7)).toEqual(numbers(7));
    expect(numbers(7)).not.toEqual(numbers(8));
    expect(new Set(numbers(7)).size).toBeGreaterThan(10);
  });
});
