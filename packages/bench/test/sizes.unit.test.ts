import { describe, expect, it } from 'vitest';
import { fullSizes, reductionsOf, sizesOf, type Wanted } from '../src/sizes.ts';

const wanted = (some: Partial<Wanted>): Wanted => ({ only: [], overrides: new Map(), ...some });

describe('a run of less than full size', () => {
  it('is full without any wish, also with more rounds', () => {
    expect(reductionsOf(wanted({}))).toEqual([]);
    expect(reductionsOf(wanted({ rounds: 7, events: 10_000_000, seconds: 3_600 }))).toEqual([]);
    expect(sizesOf(wanted({ events: 10_000_000, seconds: 3_600 }))).toEqual(fullSizes);
  });

  it('says what makes it smaller', () => {
    expect(reductionsOf(wanted({ events: 100, rounds: 1 }))).toContain('drainEvents 100 of 200000');
    expect(reductionsOf(wanted({ rounds: 4 }))).toEqual(['rounds 4 of 5']);
    expect(reductionsOf(wanted({ seconds: 5 }))).toEqual([
      'heldSeconds 5 of 180',
      'latencySeconds 5 of 15',
      'idleSeconds 5 of 60',
    ]);
  });

  it('is one of a single case, with a profiler, or with another bar', () => {
    expect(reductionsOf(wanted({ only: ['idle'] }))).toEqual(['only idle']);
    expect(reductionsOf(wanted({ profileDir: 'p' }))).toEqual(['a profiler runs along']);
    expect(reductionsOf(wanted({ overrides: new Map([['idle.cpu', 2]]) }))).toEqual([
      'bar idle.cpu set to 2',
    ]);
  });
});
