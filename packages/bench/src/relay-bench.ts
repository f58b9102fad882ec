import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type JudgedBar, judge, relayBars } from './bars.ts';
import type { BenchRun } from './bench-run.ts';
import { drain } from './cases/drain.ts';
import { heldSnapshot } from './cases/held-snapshot.ts';
import { idle } from './cases/idle.ts';
import { latency } from './cases/latency.ts';
import { memory } from './cases/memory.ts';
import { environmentOf, noise } from './environment.ts';
import { barLine, closingLines, tableLines } from './report.ts';
import { startServers } from './servers.ts';
import { type CaseName, caseNames, reductionsOf, type Sizes, sizesOf, type Wanted } from './sizes.ts';

const cases: Readonly<Record<CaseName, (run: BenchRun) => Promise<object>>> = {
  drain,
  'held-snapshot': heldSnapshot,
  latency,
  idle,
  memory,
};

/** What `--json` writes. */
export interface RelayReport {
  readonly bench: 'relay';
  /** Whether the bars of this run count: full size, and nothing else along. */
  readonly full: boolean;
  readonly startedAt: string;
  readonly seconds: number;
  readonly noise: readonly string[];
  readonly environment: Record<string, unknown>;
  readonly sizes: Sizes;
  readonly cases: Readonly<Record<string, object>>;
  readonly bars: readonly JudgedBar[];
  /** Cases that did not come to an end, with why. */
  readonly broken: readonly { case: string; reason: string }[];
}

/** @param say prints a line for people */
export async function benchRelay(wanted: Wanted, say: (line: string) => void): Promise<RelayReport> {
  const startedAt = new Date();
  const seconds = () => (Date.now() - startedAt.getTime()) / 1000;
  const log = (line: string) => say(`${seconds().toFixed(0).padStart(5)} s  ${line}`);
  const sizes = sizesOf(wanted);
  const reductions = reductionsOf(wanted);
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
  const run: BenchRun = {
    ...{ sizes, servers, dir, profileDir, log },
    judge(bar, rounds) {
      const judged = judge(relayBars[bar], rounds, overrides);
      bars.push(judged);
      say(barLine(judged));
      return judged;
    },
    table: (title, rows) => {
      for (const line of tableLines(title, rows)) say(line);
    },
  };
  try {
    for (const name of caseNames.filter((one) => wanted.only.length === 0 || wanted.only.includes(one))) {
      say('');
      log(name);
      try {
        results[name] = await cases[name](run);
      } catch (error) {
        broken.push({ case: name, reason: (error as Error).message });
        log(`${name} broke: ${(error as Error).message}`);
      }
    }
    const environment = await environmentOf(servers);
    for (const line of closingLines({ bars, broken, reductions, noise: busy })) say(line);
    return {
      bench: 'relay',
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
