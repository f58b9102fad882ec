import { expect, it } from 'vitest';
import { createLanes } from '../src/relay/lanes.ts';

function lanesAt() {
  const clock = { ms: 0 };
  const lanes = createLanes({ backoffBaseMs: 100, backoffMaxMs: 1000 }, () => clock.ms);
  return { lanes, clock };
}
const failure = new Error('no');

it('reads nothing of a bucket while a batch of it is in flight', () => {
  const { lanes } = lanesAt();
  lanes.depart(1, 'orders');
  expect(lanes.plan([1, 2])).toEqual([{ bucket: 2, topics: [], only: false }]);
  expect(lanes.isIdle(1)).toBe(false);
  lanes.arrive(1, 'orders', undefined);
  expect(lanes.plan([1])).toEqual([{ bucket: 1, topics: [], only: false }]);
  expect(lanes.isIdle(1)).toBe(true);
});

it('goes on without a topic that failed, and tries that by itself, one batch at a time, after growing waits', () => {
  const { lanes, clock } = lanesAt();
  const others = { bucket: 1, topics: ['bad'], only: false };
  const retry = { bucket: 1, topics: ['bad'], only: true };
  lanes.depart(1, 'bad');
  lanes.arrive(1, 'bad', failure);
  expect(lanes.plan([1])).toEqual([others]);
  expect(lanes.nextRetryInMs([1])).toBeGreaterThanOrEqual(50);
  clock.ms = 100;
  expect(lanes.plan([1])).toEqual([others, retry]);
  lanes.depart(1, 'bad');
  expect(lanes.plan([1])).toEqual([others]);
  expect(lanes.isIdle(1)).toBe(false);
  lanes.arrive(1, 'bad', failure);
  expect(lanes.parkedTopics()).toEqual([
    { bucket: 1, topic: 'bad', failures: 2, retryInMs: expect.any(Number), lastError: 'no' },
  ]);
  expect(lanes.nextRetryInMs([1])).toBeGreaterThanOrEqual(100);
});

it('returns to normal when the topic is well, or when nothing of it is left', () => {
  const { lanes, clock } = lanesAt();
  for (const bucket of [1, 2]) {
    lanes.depart(bucket, 'bad');
    lanes.arrive(bucket, 'bad', failure);
  }
  clock.ms = 100;
  lanes.depart(1, 'bad');
  lanes.arrive(1, 'bad', undefined);
  lanes.unpark(2, 'bad');
  expect(lanes.plan([1, 2])).toEqual([1, 2].map((bucket) => ({ bucket, topics: [], only: false })));
  expect(lanes.nextRetryInMs([1, 2])).toBe(Number.POSITIVE_INFINITY);
});

it('forgets what waited in a bucket that is no longer ours, but not what is in flight', () => {
  const { lanes } = lanesAt();
  lanes.depart(1, 'bad');
  lanes.arrive(1, 'bad', failure);
  lanes.depart(2, 'orders');
  lanes.keepOnly([]);
  expect(lanes.parkedTopics()).toEqual([]);
  expect(lanes.isIdle(2)).toBe(false);
});
