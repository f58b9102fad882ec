import { startProfile } from './profile.ts';
import { say } from './say.ts';

/** What is counted of a run: not the first events, in which code is compiled and connections are made. */
export interface WindowSettings {
  readonly skip: number;
  readonly count: number;
  /** File to write a CPU profile of the window to. */
  readonly profile?: string | undefined;
}

/** What a process says when the window closes. */
export interface Measured {
  readonly events: number;
  readonly seconds: number;
  readonly cpuUsPerEvent: number;
  readonly peakRssMiB: number;
}

/**
 * Counts events; says `warm` when the first ones are over and `measured` at the end.
 * @returns the function to be told how many more there are
 */
export function openWindow(settings: WindowSettings): (events: number) => void {
  const { skip, count } = settings;
  let seen = 0;
  let from: { seen: number; atMs: number; cpuUs: number } | undefined;
  let closed = false;
  let endProfile = () => undefined;
  return (events) => {
    seen += events;
    if (from === undefined && seen >= skip) {
      say('warm');
      if (settings.profile !== undefined) endProfile = startProfile(settings.profile);
      from = { seen, atMs: performance.now(), cpuUs: cpuUs() };
      return;
    }
    if (from === undefined || closed || seen < skip + count) return;
    closed = true;
    const seconds = (performance.now() - from.atMs) / 1000;
    const used = cpuUs() - from.cpuUs;
    const counted = seen - from.seen;
    const peakRssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
    const measured: Measured = { events: counted, seconds, cpuUsPerEvent: used / counted, peakRssMiB };
    say('measured', measured);
    endProfile();
    say('closed');
  };
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
