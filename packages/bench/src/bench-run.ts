import type { BarLimit, BarOverrides, JudgedBar, RelayBar } from './bars.ts';
import type { Servers } from './servers.ts';
import type { Sizes } from './sizes.ts';

/** What was asked for on the command line. */
export interface Wanted {
  readonly events?: number | undefined;
  readonly rounds?: number | undefined;
  readonly seconds?: number | undefined;
  readonly only: readonly string[];
  readonly profileDir?: string | undefined;
  readonly overrides: BarOverrides;
}

/** One of the things that `pnpm bench` measures. */
export interface Bench<Size extends object, Case extends string, Bar extends string> {
  readonly name: string;
  /** In their order. */
  readonly cases: Readonly<Record<Case, (run: BenchRun<Size, Bar>) => Promise<object>>>;
  readonly bars: Readonly<Record<Bar, BarLimit>>;
  readonly fullSizes: Size;
  /** Never above the full ones but for `rounds`. */
  sizesOf(wanted: Wanted): Size;
  /** The least `--events` that say anything. */
  readonly eventsMin: number;
  /** Two sentences for `--help`: what stands side by side, and how long it takes. */
  readonly about: string;
  readonly takes: string;
}

/** What a case is given. */
export interface BenchRun<Size = Sizes, Bar extends string = RelayBar> {
  readonly sizes: Size;
  readonly servers: Servers;
  /** For files that the processes share; removed at the end. */
  readonly dir: string;
  /** Where CPU profiles go, if wanted. */
  readonly profileDir: string | undefined;
  /** Figures that a case leaves for those after it, by name. */
  readonly notes: Map<string, number>;
  /** Progress, one line each. */
  log(line: string): void;
  /** Holds rounds to a bar; it is printed and counts for the exit status. */
  judge(bar: Bar, rounds: readonly number[]): JudgedBar;
  /** A finished table. */
  table(title: string, rows: readonly Row[]): void;
}

/** What stands in one line of a table. */
export type Row = Readonly<Record<string, string>>;

/** The one topic, made anew for each measurement. */
export const benchTopic = 'bench.events';
