import type { JudgedBar, RelayBar } from './bars.ts';
import type { Servers } from './servers.ts';
import type { Sizes } from './sizes.ts';

/** What a case is given. */
export interface BenchRun {
  readonly sizes: Sizes;
  readonly servers: Servers;
  /** For files that the processes share; removed at the end. */
  readonly dir: string;
  /** Where CPU profiles go, if wanted. */
  readonly profileDir: string | undefined;
  /** Progress, one line each. */
  log(line: string): void;
  /** Holds rounds to a bar; it is printed and counts for the exit status. */
  judge(bar: RelayBar, rounds: readonly number[]): JudgedBar;
  /** A finished table. */
  table(title: string, rows: readonly Row[]): void;
}

/** What stands in one line of a table. */
export type Row = Readonly<Record<string, string>>;

/** The one topic, made anew for each measurement. */
export const benchTopic = 'bench.events';
