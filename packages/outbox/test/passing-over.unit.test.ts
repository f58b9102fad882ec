import { expect, it } from 'vitest';
import { createLanes } from '../src/relay/lanes.ts';
import type { OutboxRow } from '../src/relay/outbox-rows.ts';

const others = { bucket: 1, topics: ['bad'], only: false };
const retry = { bucket: 1, topics: ['bad'], only: true };
const untouched = { bucket: 2, topics: [], only: false };
const rowOf = (topic: string) => ({ bucket: 1, record: { topic } }) as OutboxRow;

/** Lanes with a topic that fails in bucket 1, after a read that took a second. */
async function afterRead(...topics: string[]) {
  const clock = { ms: 0 };
  const lanes = createLanes({ backoffBaseMs: 5_000, backoffMaxMs: 5_000 }, () => clock.ms);
  lanes.depart(1, 'bad');
  lanes.arrive(1, 'bad', new Error('no'));
  const requests = lanes.plan([1, 2]);
  await lanes.watch(requests, async () => {
    clock.ms += 1_000;
    return { rows: topics.map(rowOf), answered: requests };
  });
  return { lanes, clock };
}

it('a read past the rows of a failing topic that finds nothing else is repeated after nine times what it took', async () => {
  for (const found of [[], ['bad']]) {
    const { lanes, clock } = await afterRead(...found);
    clock.ms = 1_001;
    expect(lanes.plan([1, 2])).toEqual([untouched]);
    clock.ms = 9_999;
    expect(lanes.plan([1, 2])).toEqual([retry, untouched]);
    clock.ms = 10_000;
    expect(lanes.plan([1, 2])).toEqual([others, retry, untouched]);
  }
});

it('and at once if it finds something else', async () => {
  const { lanes } = await afterRead('bad', 'good');
  expect(lanes.plan([1, 2])).toEqual([others, untouched]);
});
