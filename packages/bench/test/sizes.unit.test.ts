import { describe, expect, it } from 'vitest';
import type { Wanted } from '../src/bench-run.ts';
import { consumerBench } from '../src/consumer-bench.ts';
import { relayBench } from '../src/relay-bench.ts';
import { fullSizes, reductionsOf, sizesOf } from '../src/sizes.ts';

const wanted = (some: Partial<Wanted>): Wanted => ({ only: [], overrides: new Map(), ...some });

describe('a run of less than full size', () => {
  it('is full without any wish, also with more rounds', () => {
    expect(reductionsOf(relayBench, wanted({}))).toEqual([]);
    expect(reductionsOf(relayBench, wanted({ rounds: 7, events: 10_000_000, seconds: 3_600 }))).toEqual([]);
    expect(sizesOf(wanted({ events: 10_000_000, seconds: 3_600 }))).toEqual(fullSizes);
  });

  it('says what makes it smaller', () => {
    expect(reductionsOf(relayBench, wanted({ events: 100, rounds: 1 }))).toContain(
      'drainEvents 100 of 200000',
    );
    expect(reductionsOf(relayBench, wanted({ rounds: 4 }))).toEqual(['rounds 4 of 5']);
    expect(reductionsOf(relayBench, wanted({ seconds: 5 }))).toEqual([
      'heldSeconds 5 of 180',
      'latencySeconds 5 of 15',
      'idleSeconds 5 of 60',
    ]);
  });

  it('is one of a single case, with a profiler, or with another bar', () => {
    expect(reductionsOf(relayBench, wanted({ only: ['idle'] }))).toEqual(['only idle']);
    expect(reductionsOf(relayBench, wanted({ profileDir: 'p' }))).toEqual(['a profiler runs along']);
    expect(reductionsOf(relayBench, wanted({ overrides: new Map([['idle.cpu', 2]]) }))).toEqual([
      'bar idle.cpu set to 2',
    ]);
  });

  it('is told of the consumer in its own sizes', () => {
    expect(reductionsOf(consumerBench, wanted({ rounds: 9 }))).toEqual([]);
    expect(reductionsOf(consumerBench, wanted({ rounds: 1, events: 3_000, seconds: 1 }))).toEqual([
      'rounds 1 of 5',
      'rateEvents 3000 of 100000',
      'warmUpEvents 3000 of 20000',
      'loadSeconds 1 of 6',
    ]);
  });
});
