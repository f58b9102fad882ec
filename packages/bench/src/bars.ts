import { median } from './statistics.ts';

/** What a figure is held to. */
export interface BarLimit {
  readonly name: string;
  /** What is divided by what, in words. */
  readonly about: string;
  readonly bar: number;
  readonly holds: 'at-least' | 'at-most';
}

/** A figure that was held to its bar. */
export interface JudgedBar extends BarLimit {
  /** Median of the rounds. */
  readonly value: number;
  readonly ok: boolean;
  readonly rounds: readonly number[];
}

/** All bars of `bench relay`, from its issue. */
export const relayBars = {
  drainKafkajs: {
    name: 'drain.kafkajs',
    about: 'relay with kafkajs / raw kafkajs, events per second',
    bar: 0.6,
    holds: 'at-least',
  },
  drainPlatformatic: {
    name: 'drain.platformatic',
    about: 'relay with @platformatic/kafka / raw @platformatic/kafka, events per second',
    bar: 0.5,
    holds: 'at-least',
  },
  drainSource: {
    name: 'drain.source',
    about: 'relay without a broker (read and mark) / raw kafkajs, events per second',
    bar: 1,
    holds: 'at-least',
  },
  heldPoll: {
    name: 'held.poll',
    about: 'poll under a held snapshot / the same without the low-water mark, time',
    bar: 0.1,
    holds: 'at-most',
  },
  heldDrain: {
    name: 'held.drain',
    about: 'drain under a held snapshot / without one, events per second',
    bar: 0.8,
    holds: 'at-least',
  },
  latencyKafkajsP50: latency('kafkajs', 'p50', 2),
  latencyKafkajsP99: latency('kafkajs', 'p99', 3),
  latencyPlatformaticP50: latency('platformatic', 'p50', 2),
  latencyPlatformaticP99: latency('platformatic', 'p99', 3),
  idle: {
    name: 'idle.cpu',
    about: 'CPU of a relay that has nothing to do, % of a core',
    bar: 1,
    holds: 'at-most',
  },
  memory: {
    name: 'memory.growth',
    about: 'peak memory of the relay with the large backlog / with the small one',
    bar: 1.25,
    holds: 'at-most',
  },
} as const satisfies Record<string, BarLimit>;

export type RelayBar = keyof typeof relayBars;

function latency(publisher: string, of: 'p50' | 'p99', bar: number) {
  return {
    name: `latency.${publisher}.${of}`,
    about: `${of} of commit to consumed / of raw produce to consumed, both with ${publisher}`,
    bar,
    holds: 'at-most',
  } as const;
}

/** Limits of `--bar NAME=VALUE`, by name. */
export type BarOverrides = ReadonlyMap<string, number>;

/**
 * Holds the median of the rounds to the bar. A figure that is not a number is short of every bar.
 * @param overrides limits other than the bar's own
 */
export function judge(limit: BarLimit, rounds: readonly number[], overrides: BarOverrides): JudgedBar {
  const value = median(rounds);
  const bar = overrides.get(limit.name) ?? limit.bar;
  const ok = limit.holds === 'at-least' ? value >= bar : value <= bar;
  return { ...limit, bar, value, ok, rounds };
}

/** Of the whole run: 0 if something was measured, all of it holds, and no case broke. */
export function exitStatus(run: { bars: readonly JudgedBar[]; broken: readonly unknown[] }): 0 | 1 {
  return run.bars.length > 0 && run.broken.length === 0 && run.bars.every(({ ok }) => ok) ? 0 : 1;
}
