import { expect, it } from 'vitest';
import { createLeaseClock } from '../src/relay/lease-clock.ts';

function leaseOf(durationMs: number, marginMs: number) {
  const time = { monotonic: 1000, wall: 5_000_000 };
  const clock = createLeaseClock(durationMs, marginMs, {
    monotonicMs: () => time.monotonic,
    wallMs: () => time.wall,
  });
  const pass = (ms: number) => {
    time.monotonic += ms;
    time.wall += ms;
  };
  return { time, clock, pass };
}

it('holds from before the heartbeat was sent until the margin begins', () => {
  const { clock, pass } = leaseOf(1000, 200);
  expect(clock.holds()).toBe(false);
  const sentAt = clock.now();
  pass(300); // the heartbeat's round trip
  clock.renew(sentAt);
  expect(clock.holds()).toBe(true);
  pass(499);
  expect(clock.holds()).toBe(true);
  pass(1);
  expect(clock.holds()).toBe(false);
});

it('ends when the machine was suspended, which the monotonic clock may not see', () => {
  const { clock, time } = leaseOf(1000, 200);
  clock.renew(clock.now());
  time.wall += 3_600_000;
  expect(clock.holds()).toBe(false);
});

it('is not prolonged by a clock that is set back', () => {
  const { clock, time, pass } = leaseOf(1000, 200);
  clock.renew(clock.now());
  time.wall -= 60_000;
  pass(800);
  expect(clock.holds()).toBe(false);
});

it('ends when it is said to', () => {
  const { clock } = leaseOf(1000, 200);
  clock.renew(clock.now());
  clock.end();
  expect(clock.holds()).toBe(false);
});
