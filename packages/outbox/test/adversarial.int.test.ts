import { testStack } from '@orders/dev-stack/testing';
import { describe, expect, it } from 'vitest';
import { adversarialRelays } from '../soak/adversary/adversarial-relays.ts';
import type { Fault } from '../soak/adversary/faults.ts';
import { type RunReport, runHistory } from '../soak/adversary/run.ts';
import { wantedSeed } from '../soak/config.ts';
import { cursorRelay, skipLockedRelays } from './alternative-relays.ts';

// Few aggregates, twelve writers; the order is that of the writers' own counters. `OUTBOX_SEED` repeats a run.

const seed = wantedSeed();

function tell(what: string, report: RunReport): void {
  const { events, takeovers, lost, inverted, duplicates, lowWaterShare, seconds } = report;
  process.stdout.write(
    `${what}: seed ${seed}, ${events} events, ${takeovers} takeovers, ${lost} lost, ${inverted} inverted, ` +
      `${duplicates} duplicates (${seconds} s, low-water mark at ${Math.round(lowWaterShare * 100)} %)\n`,
  );
}

describe('concurrent writers, relays killed, paused and restarted', () => {
  it('lose no event and invert none within its aggregate; duplicates only at takeovers', {
    timeout: 240_000,
  }, async () => {
    let faults: Record<Fault, number> | undefined;
    let crashes: number | undefined;
    const report = await runHistory(testStack(), {
      seed,
      events: 20_000,
      relays: adversarialRelays({
        seed,
        takeovers: 10,
        onEnd: (seen) => {
          faults = seen.faults;
          crashes = seen.fleet.crashes();
        },
      }),
    });
    tell('adversarial run', report);
    expect(report, `repeat it with OUTBOX_SEED=${seed}`).toMatchObject({
      lost: 0,
      inverted: 0,
      unexpected: 0,
      unexplainedDuplicates: 0,
      examples: [],
    });
    expect(report.events).toBeGreaterThanOrEqual(20_000);
    expect(report.takeovers).toBeGreaterThanOrEqual(10);
    expect(report.rolledBack).toBeGreaterThan(100);
    // Else it would say nothing about the low-water mark, under which a row could be lost.
    expect(report.lowWaterShare).toBeGreaterThan(0);
    expect(crashes).toBe(0);
    expect(faults).toEqual({
      kill: expect.toSatisfy((n: number) => n > 0),
      pause: expect.toSatisfy((n: number) => n > 0),
      'kill-at-point': expect.toSatisfy((n: number) => n > 0),
      'pause-at-point': expect.toSatisfy((n: number) => n > 0),
    });
  });
});

describe('the same writers and the same checker', () => {
  it('catch a reader that goes by seq > cursor: it loses events', { timeout: 120_000 }, async () => {
    const report = await runHistory(testStack(), { seed, events: 1_500, relays: cursorRelay });
    tell('seq > cursor', report);
    expect(report.lost).toBeGreaterThan(0);
    expect(report.unexpected).toBe(0);
  });

  it('catch SKIP LOCKED without buckets: it inverts events of an aggregate', {
    timeout: 120_000,
  }, async () => {
    const report = await runHistory(testStack(), { seed, events: 1_500, relays: skipLockedRelays });
    tell('SKIP LOCKED', report);
    expect(report.inverted).toBeGreaterThan(0);
    expect(report).toMatchObject({ lost: 0, unexpected: 0 });
  });
});
