import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startGroup } from '../process-group.ts';
import type { NamedTest } from './guard-patch.ts';
import { outcomeFileVariable, type RunOutcome } from './outcome-reporter.ts';

/** A run of named tests of one package, in a copy of the workspace. */
export interface NamedTestRun {
  workspaceDir: string;
  packageFolder: string;
  tests: readonly NamedTest[];
  /** Added to our own environment; names the development stack. */
  environment: Readonly<Record<string, string>>;
  limitMs: number;
  signal: AbortSignal;
}

/** Either what the tests came to, or the last lines of a vitest that ended without saying so. */
export type NamedTestResult =
  | ({ kind: 'ran' } & RunOutcome)
  | { kind: 'timed-out'; output: string }
  | { kind: 'crashed'; output: string };

/** Runs just the named tests with vitest. Rejects when `signal` aborts. */
export async function runNamedTests(run: NamedTestRun): Promise<NamedTestResult> {
  const scratch = await mkdtemp(join(tmpdir(), 'orders-guard-run-'));
  const outcomeFile = join(scratch, 'outcome.json');
  const outputFile = join(scratch, 'output.log');
  const output = openSync(outputFile, 'w');
  const packageDir = join(run.workspaceDir, run.packageFolder);
  const files = [...new Set(run.tests.map((test) => test.file))];
  const group = startGroup(
    process.execPath,
    [
      join(packageDir, 'node_modules/vitest/vitest.mjs'),
      ...['run', ...files, '--reporter', join(import.meta.dirname, 'outcome-reporter.ts')],
      ...['--testNamePattern', namePattern(run.tests)],
    ],
    {
      cwd: packageDir,
      env: { ...process.env, ...run.environment, [outcomeFileVariable]: outcomeFile, NO_COLOR: '1' },
      stdio: ['ignore', output, output],
    },
  );
  closeSync(output);
  const limit = AbortSignal.any([AbortSignal.timeout(run.limitMs), run.signal]);
  const stopped = Promise.withResolvers<void>();
  limit.addEventListener('abort', () => stopped.resolve(), { once: true });
  if (limit.aborted) stopped.resolve();
  try {
    const startProblem = await Promise.race([group.exited.then(noProblem, String), stopped.promise]);
    if (startProblem) return { kind: 'crashed', output: startProblem };
    run.signal.throwIfAborted();
    if (limit.aborted) return { kind: 'timed-out', output: tailOf(await readFile(outputFile, 'utf8')) };
    const outcome = await readFile(outcomeFile, 'utf8').catch(absent);
    if (outcome === null) return { kind: 'crashed', output: tailOf(await readFile(outputFile, 'utf8')) };
    return { kind: 'ran', ...(JSON.parse(outcome) as RunOutcome) };
  } finally {
    await group.end(graceMs);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** How long vitest and what its tests started may take to go. */
const graceMs = 5_000;

/** Matches exactly these names; vitest joins the parts by blanks or by ` > `, depending on where it matches. */
function namePattern(tests: readonly NamedTest[]): string {
  const names = tests.map(({ name }) => name.split(' > ').map(escaped).join('(?: > | )'));
  return `^(?:${names.join('|')})$`;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}

const outputLinesMax = 15;

function tailOf(text: string): string {
  return text.trimEnd().split('\n').slice(-outputLinesMax).join('\n');
}

const noProblem = () => undefined;

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
