import { expect, it } from 'vitest';
import { bucketCount, bucketOf } from '../src/index.ts';
import { bucketVectors } from './bucket-vectors.ts';

it.each(bucketVectors)('the bucket of %j is %i', (key, bucket) => {
  expect(bucketOf(key)).toBe(bucket);
});

it('all 64 buckets are used', () => {
  const used = new Set(Array.from({ length: 2000 }, (_, i) => bucketOf(`tenant:${i}`)));
  expect(used.size).toBe(bucketCount);
  expect(bucketCount).toBe(64);
});
