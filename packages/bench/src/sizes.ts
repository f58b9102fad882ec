import type { Bench, Wanted } from './bench-run.ts';

/** The parts of a run. */
export type CaseName = 'drain' | 'held-snapshot' | 'latency' | 'idle' | 'memory';

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

/** A size, or what is wanted in its place if that is less. */
export const atMost = (full: number, wanted: number | undefined): number => Math.min(full, wanted ?? full);

/** The sizes of a run, never above the full ones but for `rounds`. */
export function sizesOf({ events, rounds, seconds }: Wanted): Sizes {
  return {
    ...fullSizes,
    rounds: rounds ?? fullSizes.rounds,
    drainEvents: atMost(fullSizes.drainEvents, events),
    warmUpEvents: atMost(fullSizes.warmUpEvents, events),
    heldDrainEvents: atMost(fullSizes.heldDrainEvents, events),
    memorySmallEvents: atMost(fullSizes.memorySmallEvents, events),
    memoryLargeEvents: atMost(fullSizes.memoryLargeEvents, events === undefined ? undefined : events * 4),
    heldSeconds: atMost(fullSizes.heldSeconds, seconds),
    latencySeconds: atMost(fullSizes.latencySeconds, seconds),
    idleSeconds: atMost(fullSizes.idleSeconds, seconds),
  };
}

/** Why a run says nothing about the bars, in words; empty for one that does. */
export function reductionsOf<Size extends object>(
  { fullSizes: full, sizesOf: sizesFor }: Pick<Bench<Size, string, string>, 'fullSizes' | 'sizesOf'>,
  wanted: Wanted,
): string[] {
  const sizes = new Map<string, number>(Object.entries(sizesFor(wanted)));
  const smaller = Object.entries(full)
    .map(([name, size]): [string, number, number] => [name, sizes.get(name) ?? 0, size])
    .filter(([, size, fullSize]) => size < fullSize)
    .map(([name, size, fullSize]) => `${name} ${size} of ${fullSize}`);
  return [
    ...smaller,
    ...(wanted.only.length > 0 ? [`only ${wanted.only.join(', ')}`] : []),
    ...(wanted.profileDir === undefined ? [] : ['a profiler runs along']),
    ...[...wanted.overrides].map(([name, bar]) => `bar ${name} set to ${bar}`),
  ];
}
