import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@orders/dev-stack/soak';
import { type RelayFleet, relayIdOf, signal } from '../relay-fleet.ts';

/** What befalls a relay; in each case the others take over before it comes back. */
const faults = ['kill', 'pause', 'pause-at-point', 'kill-at-point'] as const;
export type Fault = (typeof faults)[number];

export interface FaultDeps {
  readonly fleet: RelayFleet;
  readonly random: Random;
  /** How many buckets the relays of a place own. */
  readonly owned: (relayId: string) => Promise<number>;
  /** How often the relays of a place have lost their buckets by their lease. */
  readonly takeoversOf: (relayId: string) => Promise<number>;
  readonly isOver: () => boolean;
}

/** A process that is told to stand still at a point stands still anyway after this time. */
const pointWaitMs = 3_000;
const lookIntervalMs = 50;

/**
 * Lets one thing after another befall the relays, `atOnce` of them at a time, until it is over. Resolves when the last
 * one has come back.
 * @returns how often each fault was seen to lead to a takeover
 */
export async function injectFaults(deps: FaultDeps, atOnce: number): Promise<Record<Fault, number>> {
  const counts: Record<Fault, number> = { kill: 0, pause: 0, 'pause-at-point': 0, 'kill-at-point': 0 };
  const troubled = new Set<number>();
  let turn = deps.random.below(faults.length);

  async function trouble(): Promise<void> {
    while (!deps.isOver()) {
      const free = Array.from({ length: deps.fleet.places }, (_, i) => i).filter((i) => !troubled.has(i));
      const place = deps.random.pick(free);
      const fault = faults[turn++ % faults.length] as Fault;
      troubled.add(place);
      if (await befall(deps, place, fault)) counts[fault] += 1;
      troubled.delete(place);
      await sleep(deps.random.below(300));
    }
  }
  await Promise.all(Array.from({ length: atOnce }, trouble));
  return counts;
}

/** @returns whether it led to a takeover before all was over */
async function befall(deps: FaultDeps, place: number, fault: Fault): Promise<boolean> {
  const { fleet, isOver } = deps;
  const relayId = relayIdOf(place);
  const until = async (condition: () => Promise<boolean>) => {
    while (!isOver()) {
      if (await condition()) return true;
      await sleep(lookIntervalMs);
    }
    return false;
  };

  if (!(await until(async () => (await deps.owned(relayId)) > 0))) return false;
  const before = await deps.takeoversOf(relayId);
  const pid = fleet.at(place)?.pid as number;
  if (fault === 'kill') await fleet.kill(place);
  else if (fault === 'pause') signal(pid, 'SIGSTOP');
  else {
    signal(pid, 'SIGUSR2');
    const stopAnywhere = setTimeout(() => signal(pid, 'SIGSTOP'), pointWaitMs);
    const taken = await until(async () => (await deps.takeoversOf(relayId)) > before);
    clearTimeout(stopAnywhere);
    return comeBack(deps, place, fault, taken);
  }
  const taken = await until(async () => (await deps.takeoversOf(relayId)) > before);
  return comeBack(deps, place, fault, taken);
}

async function comeBack(deps: FaultDeps, place: number, fault: Fault, taken: boolean): Promise<boolean> {
  if (fault === 'kill' || fault === 'kill-at-point') {
    await deps.fleet.kill(place);
    await deps.fleet.start(place);
  } else signal(deps.fleet.at(place)?.pid as number, 'SIGCONT');
  return taken;
}
