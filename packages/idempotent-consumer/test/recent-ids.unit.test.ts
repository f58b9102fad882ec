import { expect, it } from 'vitest';
import { createRecentIds } from '../src/intake/recent-ids.ts';

const event = (id: string, offset: number, topic = 'orders') => ({
  id,
  record: { topic, partition: 0, offset: String(offset) },
});
const events = (from: number, to: number, offset = from) =>
  Array.from({ length: to - from }, (_, i) => event(`e-${from + i}`, offset + i));

it('the newest ids are known when they are published once more; the memory is bounded', () => {
  const recent = createRecentIds(100);
  recent.committed(events(0, 1_000));
  const asked = recent.without(events(0, 1_000, 1_000));
  expect(asked.length).toBeGreaterThanOrEqual(900);
  expect(asked.length).toBeLessThanOrEqual(950);
  expect(asked).toEqual(events(0, asked.length, 1_000));
});

it('an event from another topic, and one that was not committed, is asked about', () => {
  const recent = createRecentIds(100);
  recent.committed([event('e-1', 1)]);
  expect(recent.without([event('e-1', 2), event('e-2', 3)])).toEqual([event('e-2', 3)]);
  expect(recent.without([event('e-1', 0, 'other')])).toHaveLength(1);
});

it('records at places that were accepted before are asked about: perhaps the database has lost them', () => {
  const recent = createRecentIds(100);
  recent.committed(events(0, 10));
  expect(recent.without(events(5, 10))).toEqual(events(5, 10));
  expect(recent.without(events(5, 10, 10))).toEqual([]);
});
