import { expect, it, vi } from 'vitest';
import { createPolls } from '../src/relay/polls.ts';

it('polls follow soon after events and ever more slowly without; a look that failed is made up for at once', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const polls = createPolls({ pollIntervalMs: 70, pollIntervalMinMs: 20 });
  const look = (isPoll: boolean, hasFound: boolean) => {
    polls.begin({ isPoll })(hasFound);
    return polls.untilDueMs();
  };
  expect(polls.untilDueMs()).toBe(0);
  expect(look(true, false)).toBe(70);
  expect(look(false, true)).toBe(20);
  vi.advanceTimersByTime(5);
  // Looking at a few buckets is no poll, and does not put one off.
  expect(look(false, false)).toBe(15);
  expect(look(false, true)).toBe(15);
  vi.advanceTimersByTime(15);
  expect(polls.untilDueMs()).toBe(0);
  expect(look(true, false)).toBe(40);
  expect(look(true, false)).toBe(70);
  polls.begin({ isPoll: false }); // and the database is away
  expect(polls.untilDueMs()).toBe(0);
  vi.useRealTimers();
});
