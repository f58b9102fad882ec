import { describe, expect, it } from 'vitest';
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

it('learns nothing of a topic from a batch that was not sent', () => {
  const { lanes, clock } = lanesAt();
  for (let n = 0; n < 10; n += 1) {
    clock.ms += 1_000;
    lanes.depart(1, 'bad');
    lanes.arrive(1, 'bad', failure);
    clock.ms += 1_000;
    lanes.depart(2, 'orders');
    lanes.arrive(2, 'orders', 'not sent');
  }
  expect(lanes.inTheWay()).toEqual([]); // none was well
  const [before] = lanes.parkedTopics();
  lanes.depart(1, 'bad');
  lanes.arrive(1, 'bad', 'not sent');
  expect(lanes.parkedTopics()).toEqual([{ ...before, retryInMs: 100 }]);
  expect([lanes.isIdle(1), lanes.isIdle(2)]).toEqual([true, true]);
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

describe('rows of a topic that fails', () => {
  const fail = ({ lanes, clock }: ReturnType<typeof lanesAt>, bucket: number, topic: string) => {
    clock.ms += 1_000;
    lanes.depart(bucket, topic);
    lanes.arrive(bucket, topic, failure);
  };
  const succeed = ({ lanes, clock }: ReturnType<typeof lanesAt>, bucket: number, topic: string) => {
    clock.ms += 1_000;
    lanes.depart(bucket, topic);
    lanes.arrive(bucket, topic, undefined);
  };

  it('are moved when it goes on failing while others are well', () => {
    const at = lanesAt();
    for (let n = 0; n < 4; n += 1) {
      expect(at.lanes.inTheWay()).toEqual([]);
      fail(at, 1, 'bad');
      succeed(at, 2, 'orders');
    }
    expect(at.lanes.inTheWay()).toEqual([{ bucket: 1, topic: 'bad' }]);
    at.lanes.movedOut([{ bucket: 1, topic: 'bad' }]);
    expect(at.lanes.inTheWay()).toEqual([]);
    // No longer passed over: what the read still finds of it is moved.
    expect(at.lanes.plan([1])[0]).toEqual({ bucket: 1, topics: [], only: false });
  });

  it('stay when the broker is away, and when it is back', () => {
    const at = lanesAt();
    for (let n = 0; n < 10; n += 1) for (const topic of ['a', 'b', 'c']) fail(at, 1, topic);
    expect(at.lanes.inTheWay()).toEqual([]);
    succeed(at, 1, 'a');
    expect(at.lanes.inTheWay()).toEqual([]);
    succeed(at, 1, 'b');
    succeed(at, 1, 'c');
    expect(at.lanes.parkedTopics()).toEqual([]);
  });

  it('come back one batch at a time, before those that were written since', () => {
    const at = lanesAt();
    at.lanes.movedOut([{ bucket: 1, topic: 'bad' }]); // by the owner before
    succeed(at, 1, 'bad');
    const others = { bucket: 1, topics: ['bad'], only: false };
    expect(at.lanes.plan([1])).toEqual([others, { bucket: 1, topics: ['bad'], only: true }]);
    expect(at.lanes.rowsOf(1, 'bad')).toBe('returning');
    at.lanes.unpark(1, 'bad');
    expect(at.lanes.plan([1])).toEqual([{ ...others, topics: [] }]);
  });

  it('found by a new owner are not looked at while what it has read of the bucket is in flight', () => {
    const { lanes } = lanesAt();
    lanes.depart(1, 'orders');
    lanes.movedOut([{ bucket: 1, topic: 'bad' }]);
    expect(lanes.plan([1])).toEqual([]);
    lanes.arrive(1, 'orders', undefined);
    expect(lanes.isIdle(1)).toBe(true);
  });
});
