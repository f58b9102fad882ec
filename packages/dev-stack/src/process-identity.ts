import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that cannot be mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  name: string;
  pid: number;
  /** Opaque; equal for equal processes only. */
  startedAt: string;
}

/** When the process with this pid started, or undefined when there is none (a zombie counts as none). */
export function startTimeOf(pid: number): string | undefined {
  return process.platform === 'linux' ? startTimeFromProc(pid) : startTimeFromPs(pid);
}

function startTimeFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may itself contain blanks and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    // Field 22 counts clock ticks since boot: only together with the boot is it unique.
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

function startTimeFromPs(pid: number): string | undefined {
  try {
    const row = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state = '', ...start] = row.split(/\s+/);
    return state === '' || state.startsWith('Z') ? undefined : start.join(' ');
  } catch {
    return undefined;
  }
}

/** The identity of a live process; undefined when it has already ended. */
export function identify(name: string, pid: number): ProcessIdentity | undefined {
  const startedAt = startTimeOf(pid);
  return startedAt === undefined ? undefined : { name, pid, startedAt };
}

/** True only for the very process that was recorded: pid AND start time match. */
export function isAlive(recorded: ProcessIdentity): boolean {
  return startTimeOf(recorded.pid) === recorded.startedAt;
}

/**
 * Ends exactly the recorded process: `signal` first, SIGKILL after `graceMs`. A process that merely got the
 * same pid later is not touched. Resolves once it is gone.
 */
export async function endProcess(
  recorded: ProcessIdentity,
  signal: NodeJS.Signals = 'SIGKILL',
  graceMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + graceMs;
  sendSignal(recorded, signal);
  while (isAlive(recorded)) {
    if (Date.now() > deadline) sendSignal(recorded, 'SIGKILL');
    await sleep(20);
  }
}

function sendSignal(recorded: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(recorded)) return;
  try {
    process.kill(recorded.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
