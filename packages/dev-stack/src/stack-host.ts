import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { StatePaths } from './state.ts';

/** What the daemon offers to those who start servers for it. */
export interface StackHost {
  paths: StatePaths;
  /** Tells the waiting clients what is going on. */
  log(line: string): void;
  /** Records a child at once, in the same tick as its start, so that no kill of the daemon can orphan it unseen. */
  track(name: string, child: ChildProcess): void;
  trackContainer(id: string): void;
}

/** The servers that were started. */
export interface RunningServers {
  postgresUrl: string;
  kafkaBrokers: string[];
  /** Ends the servers the kindest quick way; the daemon kills what is left of the tracked ones afterwards. */
  stop(): Promise<void>;
}

/** The last lines of a log file, for an error message. */
export function tailOf(path: string, lines = 25): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}
