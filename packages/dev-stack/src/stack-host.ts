import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { StatePaths } from './state.ts';

/** What the daemon offers to those who start servers for it. */
export interface StackHost {
  paths: StatePaths;
  /** Tells the waiting clients what is going on. */
  log(line: string): void;
  /**
   * Records a child at once, in the same tick as its start, so that no kill of the daemon can orphan it unseen.
   * `endSignal` (default SIGKILL) ends it, with or without the daemon; SIGKILL follows.
   */
  track(name: string, child: ChildProcess, endSignal?: NodeJS.Signals): void;
}

/** The servers that were started. */
export interface RunningServers {
  mode: 'docker' | 'embedded';
  postgresUrl: string;
  kafkaBrokers: string[];
  /** Resolves, with the story, when one of them ends by itself. */
  died: Promise<string>;
  /** Whatever is to be done before the tracked processes are ended. */
  stop(): Promise<void>;
}

/** Resolves when the child has ended, even if it did so before. */
export function endOf(name: string, child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    const tell = () => resolve(`${name} ended by itself (${child.signalCode ?? child.exitCode})`);
    if (hasEnded(child)) tell();
    else child.once('exit', tell);
  });
}

export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** The last lines of a log file, for an error message. */
export function tailOf(path: string, lines = 25): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch (error) {
    return `(no log: ${(error as Error).message})`;
  }
}
