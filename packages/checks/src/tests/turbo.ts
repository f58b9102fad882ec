import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ChecksError } from '../errors.ts';
import { startGroup } from '../process-group.ts';

/** A package's `test` task as turbo plans it. */
export interface TestTask {
  package: string;
  /** Absolute. */
  dir: string;
}

const outputBytesMax = 64 * 1024 * 1024;

/** The packages whose tests `turbo run test` would run with these filters, those without a test script included. */
export async function planTests(root: string, filters: readonly string[]): Promise<TestTask[]> {
  const args = [turboEntry(), 'run', 'test', '--dry=json', ...filters.map((filter) => `--filter=${filter}`)];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: root,
      env: turboEnvironment(),
      maxBuffer: outputBytesMax,
    });
    const plan = JSON.parse(stdout) as { tasks: { package: string; directory: string; task: string }[] };
    return plan.tasks
      .filter((one) => one.task === 'test')
      .map((one) => ({ package: one.package, dir: join(root, one.directory) }));
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    throw new ChecksError('CHECKS_TOOL_FAILED', `turbo cannot plan the tests: ${stderr.trim() || message}`, {
      cause: error,
    });
  }
}

export interface TurboRun {
  root: string;
  filters: readonly string[];
  /** Where the tests' output goes. */
  output: 'stdout' | 'stderr' | 'ignore';
  signal: AbortSignal;
}

/** Runs `turbo run test` over them, going on after a failure; gives the exit status of each package's tests. */
export async function runTests({ root, filters, output, signal }: TurboRun): Promise<Map<string, number>> {
  const earlier = new Set(summaries(root));
  const target = { stdout: 1, stderr: 2, ignore: 'ignore' as const }[output];
  const group = startGroup(
    process.execPath,
    [
      turboEntry(),
      ...['run', 'test', '--continue', '--ui=stream', '--log-order=stream', '--summarize'],
      ...filters.map((filter) => `--filter=${filter}`),
    ],
    { cwd: root, env: turboEnvironment(), stdio: ['ignore', target, target] },
  );
  const interrupted = Promise.withResolvers<void>();
  const interrupt = () => group.end().then(interrupted.resolve, interrupted.reject);
  signal.addEventListener('abort', interrupt, { once: true });
  if (signal.aborted) void interrupt();
  await group.exited;
  if (signal.aborted) await interrupted.promise;
  signal.removeEventListener('abort', interrupt);
  return exitCodes(root, earlier);
}

/** Turbo leaves one summary file per run; ours is the one that was not there before. */
function exitCodes(root: string, earlier: ReadonlySet<string>): Map<string, number> {
  const codes = new Map<string, number>();
  for (const file of summaries(root).filter((one) => !earlier.has(one))) {
    const summary = JSON.parse(readFileSync(file, 'utf8')) as {
      tasks: { package: string; task: string; execution?: { exitCode?: number } }[];
    };
    for (const { package: name, task, execution } of summary.tasks)
      if (task === 'test' && execution?.exitCode !== undefined) codes.set(name, execution.exitCode);
    rmSync(file);
  }
  return codes;
}

function summaries(root: string): string[] {
  const dir = join(root, '.turbo', 'runs');
  try {
    return readdirSync(dir)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(dir, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Turbo is a dependency of the root, not ours: the workspace runs it, and so do we. */
function turboEntry(): string {
  return createRequire(join(import.meta.dirname, '../../../../package.json')).resolve('turbo/bin/turbo');
}

function turboEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, TURBO_TELEMETRY_DISABLED: '1', TURBO_NO_UPDATE_NOTIFIER: '1' };
}
