import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type JudgedBar, judge } from './bars.ts';
import type { Bench, BenchRun, Wanted } from './bench-run.ts';
import { environmentOf, noise } from './environment.ts';
import { barLine, closingLines, tableLines } from './report.ts';
import { startServers } from './servers.ts';
import { reductionsOf } from './sizes.ts';

/** What `--json` writes. */
export interface BenchReport {
  readonly bench: string;
  /** Whether the bars of this run count: full size, and nothing else along. */
  readonly full: boolean;
  readonly startedAt: string;
  readonly seconds: number;
  readonly noise: readonly string[];
  readonly environment: Record<string, unknown>;
  readonly sizes: object;
  readonly cases: Readonly<Record<string, object>>;
  readonly bars: readonly JudgedBar[];
  /** Cases that did not come to an end, with why. */
  readonly broken: readonly { case: string; reason: string }[];
}

/** Runs what is wanted of a bench. @param say prints a line for people */
export async function runBench<Size extends object, Case extends string, Bar extends string>(
  bench: Bench<Size, Case, Bar>,
  wanted: Wanted,
  say: (line: string) => void,
): Promise<BenchReport> {
  const startedAt = new Date();
  const seconds = () => (Date.now() - startedAt.getTime()) / 1000;
  const log = (line: string) => say(`${seconds().toFixed(0).padStart(5)} s  ${line}`);
  const sizes = bench.sizesOf(wanted);
  const reductions = reductionsOf(bench, wanted);
  const busy = noise();
  for (const line of busy) log(line);
  log('starting PostgreSQL and Kafka');
  const servers = await startServers();
  const dir = mkdtempSync(join(tmpdir(), 'orders-bench-'));
  const profileDir = wanted.profileDir === undefined ? undefined : resolve(wanted.profileDir);
  if (profileDir !== undefined) mkdirSync(profileDir, { recursive: true });
  const bars: JudgedBar[] = [];
  const results: Record<string, object> = {};
  const broken: { case: string; reason: string }[] = [];
  const { overrides } = wanted;
  const run: BenchRun<Size, Bar> = {
    ...{ sizes, servers, dir, profileDir, log, notes: new Map() },
    judge(bar, rounds) {
      const judged = judge(bench.bars[bar], rounds, overrides);
      bars.push(judged);
      say(barLine(judged));
      return judged;
    },
    table: (title, rows) => {
      for (const line of tableLines(title, rows)) say(line);
    },
  };
  try {
    const names = Object.keys(bench.cases) as Case[];
    for (const name of names.filter((one) => wanted.only.length === 0 || wanted.only.includes(one))) {
      say('');
      log(name);
      try {
        results[name] = await bench.cases[name](run);
      } catch (error) {
        broken.push({ case: name, reason: (error as Error).message });
        log(`${name} broke: ${(error as Error).message}`);
      }
    }
    const environment = await environmentOf(servers);
    for (const line of closingLines({ bars, broken, reductions, noise: busy })) say(line);
    return {
      bench: bench.name,
      full: reductions.length === 0,
      startedAt: startedAt.toISOString(),
      seconds: Math.round(seconds()),
      noise: busy,
      ...{ environment, sizes, cases: results, bars, broken },
    };
  } finally {
    await servers.close();
    rmSync(dir, { recursive: true, force: true });
  }
}
