import { expect, it } from 'vitest';
import { createRecentIds } from '../src/recent-ids.ts';

const event = (id: string, topic = 't') => ({ id, record: { topic } });
const events = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => event(`e-${from + i}`));

it('what was committed is known, until there is too much of it', () => {
  const recent = createRecentIds(100);
  recent.committed(events(0, 1_000));
  const known = events(0, 1_000).filter((one) => recent.has(one));
  expect(known.length).toBeGreaterThanOrEqual(50);
  expect(known.length).toBeLessThanOrEqual(100);
  expect(known).toEqual(events(1_000 - known.length, known.length)); // the newest
});

it('an id that came from another topic is not answered for', () => {
  const recent = createRecentIds(100);
  recent.committed([event('e-1')]);
  expect([recent.has(event('e-1')), recent.has(event('e-1', 'other')), recent.has(event('e-2'))]).toEqual([
    true,
    false,
    false,
  ]);
});
