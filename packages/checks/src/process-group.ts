import { type SpawnOptions, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

export interface GroupExit {
  /** Exit status of the process that was started; null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process and what it starts, signalled together. */
export interface ProcessGroup {
  pid: number | undefined;
  /** The started process has ended; rejects when it could not be started. */
  exited: Promise<GroupExit>;
  /** Sends SIGINT to all of the group, SIGKILL after `graceMs`; resolves once nobody of it is left. */
  end(graceMs?: number): Promise<void>;
}

/**
 * Starts a process in a group of its own. A terminal's Ctrl-C therefore reaches only us, and we pass it on
 * exactly once: tools that get it twice (from the terminal and from their parent) give up their clean-up.
 */
export function startGroup(command: string, args: readonly string[], options: SpawnOptions): ProcessGroup {
  const child = spawn(command, args, { ...options, detached: true });
  const exited = new Promise<GroupExit>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  const { pid } = child;

  async function end(graceMs = 30_000): Promise<void> {
    if (pid === undefined) return;
    signalGroup(pid, 'SIGINT');
    const deadline = Date.now() + graceMs;
    while (signalGroup(pid, 0)) {
      if (Date.now() > deadline) signalGroup(pid, 'SIGKILL');
      await sleep(50);
    }
  }

  return { pid, exited, end };
}

/** False when the group has no process any more. */
function signalGroup(leaderPid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-leaderPid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
