import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, whatever the kernel was built with. */
const tickMs = 10;

interface ProcessTimes {
  parent: number;
  ownMs: number;
  /** Of children that have ended. */
  reapedMs: number;
}

/** From `/proc`; undefined where there is none, or when the process has ended. */
function timesOf(pid: number): ProcessTimes | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in parentheses may contain anything.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const at = (n: number) => fields[n - 3] ?? 0; // as proc(5) counts them
  return { parent: at(4), ownMs: (at(14) + at(15)) * tickMs, reapedMs: (at(16) + at(17)) * tickMs };
}

/** CPU that a process has taken so far, milliseconds; undefined where `/proc` does not tell. */
export function cpuMsOf(pid: number): number | undefined {
  return timesOf(pid)?.ownMs;
}

/** The same of a process and its children, those that have ended included: of all of PostgreSQL. */
export function cpuMsOfFamily(pid: number): number | undefined {
  const parent = timesOf(pid);
  if (parent === undefined) return undefined;
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => timesOf(Number(name)))
    .filter((times) => times?.parent === pid);
  return children.reduce((sum, times) => sum + (times?.ownMs ?? 0), parent.ownMs + parent.reapedMs);
}

/** The most memory that a process has had, MiB; NaN where `/proc` does not tell. */
export function peakRssMiBOf(pid: number): number {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Math.round(Number(kib) / 1024);
  } catch {
    return Number.NaN;
  }
}
