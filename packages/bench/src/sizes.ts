import type { BarOverrides } from './bars.ts';

/** The parts of a run, in their order. */
export const caseNames = ['drain', 'held-snapshot', 'latency', 'idle', 'memory'] as const;
export type CaseName = (typeof caseNames)[number];

/** How much is measured. */
export interface Sizes {
  readonly rounds: number;
  /** Events of a drain that are counted. */
  readonly drainEvents: number;
  /** Events before them, which are not: compiling, connecting, taking the leases. */
  readonly warmUpEvents: number;
  readonly heldSeconds: number;
  readonly heldEventsPerSecond: number;
  readonly heldDrainEvents: number;
  readonly latencySeconds: number;
  readonly latencyEventsPerSecond: number;
  readonly idleSeconds: number;
  readonly memoryRounds: number;
  readonly memorySmallEvents: number;
  readonly memoryLargeEvents: number;
}

/** What the bars are judged on. */
export const fullSizes: Sizes = {
  rounds: 5,
  drainEvents: 200_000,
  warmUpEvents: 20_000,
  heldSeconds: 180,
  heldEventsPerSecond: 1_000,
  heldDrainEvents: 50_000,
  latencySeconds: 15,
  latencyEventsPerSecond: 500,
  idleSeconds: 60,
  memoryRounds: 1,
  memorySmallEvents: 50_000,
  memoryLargeEvents: 1_000_000,
};

/** What was asked for on the command line. */
export interface Wanted {
  readonly events?: number | undefined;
  readonly rounds?: number | undefined;
  readonly seconds?: number | undefined;
  readonly only: readonly CaseName[];
  readonly profileDir?: string | undefined;
  readonly overrides: BarOverrides;
}

/** The sizes of a run, never above the full ones but for `rounds`. */
export function sizesOf({ events, rounds, seconds }: Wanted): Sizes {
  const size = (full: number, wanted: number | undefined) => Math.min(full, wanted ?? full);
  return {
    ...fullSizes,
    rounds: rounds ?? fullSizes.rounds,
    drainEvents: size(fullSizes.drainEvents, events),
    warmUpEvents: size(fullSizes.warmUpEvents, events),
    heldDrainEvents: size(fullSizes.heldDrainEvents, events),
    memorySmallEvents: size(fullSizes.memorySmallEvents, events),
    memoryLargeEvents: size(fullSizes.memoryLargeEvents, events === undefined ? undefined : events * 4),
    heldSeconds: size(fullSizes.heldSeconds, seconds),
    latencySeconds: size(fullSizes.latencySeconds, seconds),
    idleSeconds: size(fullSizes.idleSeconds, seconds),
  };
}

/** Why a run says nothing about the bars, in words; empty for one that does. */
export function reductionsOf(wanted: Wanted): string[] {
  const sizes = sizesOf(wanted);
  const smaller = (Object.keys(fullSizes) as (keyof Sizes)[])
    .filter((name) => sizes[name] < fullSizes[name])
    .map((name) => `${name} ${sizes[name]} of ${fullSizes[name]}`);
  return [
    ...smaller,
    ...(wanted.only.length > 0 ? [`only ${wanted.only.join(', ')}`] : []),
    ...(wanted.profileDir === undefined ? [] : ['a profiler runs along']),
    ...[...wanted.overrides].map(([name, bar]) => `bar ${name} set to ${bar}`),
  ];
}
