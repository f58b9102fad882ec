import { describe, expect, it } from 'vitest';
import { exitStatus, judge, relayBars } from '../src/bars.ts';
import { median, quantile, spread } from '../src/statistics.ts';

const noOverrides = new Map<string, number>();

describe('a bar', () => {
  it('is held to the median of the rounds, not to the best or the mean', () => {
    const { value, ok } = judge(relayBars.drainKafkajs, [0.1, 0.61, 0.55, 0.59, 5], noOverrides);
    expect({ value, ok }).toEqual({ value: 0.59, ok: false });
  });

  it('that is a least value holds from that value on', () => {
    expect(judge(relayBars.drainKafkajs, [0.6], noOverrides).ok).toBe(true);
    expect(judge(relayBars.drainKafkajs, [0.599], noOverrides).ok).toBe(false);
  });

  it('that is a greatest value holds up to that value', () => {
    expect(judge(relayBars.heldPoll, [0.1], noOverrides).ok).toBe(true);
    expect(judge(relayBars.heldPoll, [0.101], noOverrides).ok).toBe(false);
  });

  it('is not reached by what is no number, nor by no rounds', () => {
    for (const limit of [relayBars.drainSource, relayBars.idle]) {
      expect(judge(limit, [Number.NaN], noOverrides).ok).toBe(false);
      expect(judge(limit, [], noOverrides).ok).toBe(false);
    }
  });

  it('may be set otherwise', () => {
    const { bar, ok } = judge(relayBars.idle, [0.5], new Map([['idle.cpu', 0.4]]));
    expect({ bar, ok }).toEqual({ bar: 0.4, ok: false });
  });

  it('has a name of its own', () => {
    const names = Object.values(relayBars).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('the exit status', () => {
  const holds = judge(relayBars.idle, [0.5], noOverrides);
  const short = judge(relayBars.idle, [1.5], noOverrides);
  it('is 0 only if all bars hold', () => {
    expect(exitStatus({ bars: [holds, holds], broken: [] })).toBe(0);
    expect(exitStatus({ bars: [holds, short], broken: [] })).toBe(1);
  });
  it('is 1 if a case broke, or nothing was measured', () => {
    expect(exitStatus({ bars: [holds], broken: ['drain'] })).toBe(1);
    expect(exitStatus({ bars: [], broken: [] })).toBe(1);
  });
});

describe('figures of several rounds', () => {
  it('are the value in the middle, or between the two in the middle, with range', () => {
    expect(spread([9, 1, 5])).toEqual({ median: 5, min: 1, max: 9 });
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });
  it('have quantiles by rank', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([quantile(hundred, 0.5), quantile(hundred, 0.99), quantile([7], 0.99)]).toEqual([51, 100, 7]);
  });
});
