import { ChecksError } from '../errors.ts';
import type { Guard } from './guard-patch.ts';
import { inParallel } from './in-parallel.ts';
import { judgePatched, judgeUnpatched } from './judge-guard.ts';
import { type NamedTestResult, runNamedTests } from './run-named-tests.ts';
import { applyPatch, type WorkspaceCopies, type WorkspaceCopy, workspaceCopies } from './workspace-copy.ts';

export interface GuardResult {
  name: string;
  promise: string;
  expect: 'red' | 'green';
  holds: boolean;
  /** Why it does not. */
  why?: string;
  elapsedMs: number;
}

export interface GuardRun {
  root: string;
  /** Given to the tests; names the development stack. */
  environment: Readonly<Record<string, string>>;
  signal: AbortSignal;
  onResult?(result: GuardResult): void;
  log?(line: string): void;
  /** How many vitest runs at a time: two with the guards in place, then three, since a test that must fail mostly waits. */
  parallelMax?: number;
  /** Limit of one vitest run. */
  limitMs?: number;
}

/**
 * Shows for every guard that its tests pass with it and, without it, fail by an assertion (or, for one half of a
 * pair, still pass). Each removal happens in a copy in which all others stand. Rejects when `signal` aborts.
 */
export async function runGuards(guards: readonly Guard[], run: GuardRun): Promise<GuardResult[]> {
  const copies = workspaceCopies(run.root);
  try {
    const unpatched = await runUnpatched(guards, run, copies);
    return await inParallel(guards, run.parallelMax ?? 3, async (guard) => {
      const start = Date.now();
      const before = unpatched.get(guard.packageFolder);
      const why = (before && judgeUnpatched(guard, before)) ?? (await whyNot(guard, run, copies));
      const result: GuardResult = {
        name: guard.name,
        promise: guard.promise,
        expect: guard.expect,
        holds: why === undefined,
        ...(why === undefined ? {} : { why }),
        elapsedMs: Date.now() - start,
      };
      run.onResult?.(result);
      return result;
    });
  } finally {
    await copies.remove();
  }
}

/** All named tests of a package in one vitest run, in one untouched copy: quicker than guard by guard. */
async function runUnpatched(
  guards: readonly Guard[],
  run: GuardRun,
  copies: WorkspaceCopies,
): Promise<ReadonlyMap<string, NamedTestResult>> {
  const byPackage = Map.groupBy(guards, (guard) => guard.packageFolder);
  run.log?.(`${guards.length} guards: their tests with every guard in place, ${byPackage.size} packages`);
  run.signal.throwIfAborted();
  return copies.use(async (copy) => {
    const results = await inParallel([...byPackage], run.parallelMax ?? 2, async ([folder, ofPackage]) => {
      const start = Date.now();
      const tests = ofPackage.flatMap((guard) => guard.tests);
      const result = await runTestsIn(copy, folder, tests, run, ofPackage.length);
      run.log?.(`${folder}: ran in ${((Date.now() - start) / 1000).toFixed(1)} s`);
      return [folder, result] as const;
    });
    return new Map(results);
  });
}

async function whyNot(guard: Guard, run: GuardRun, copies: WorkspaceCopies): Promise<string | undefined> {
  run.signal.throwIfAborted();
  return copies.use(async (copy) => {
    try {
      await applyPatch(copy, guard);
      return judgePatched(guard, await runTestsIn(copy, guard.packageFolder, guard.tests, run));
    } catch (error) {
      if (error instanceof ChecksError) return error.message;
      throw error;
    } finally {
      await copy.restore(guard.files);
    }
  });
}

function runTestsIn(
  copy: WorkspaceCopy,
  packageFolder: string,
  tests: Guard['tests'],
  { environment, signal, limitMs = 180_000 }: GuardRun,
  shares = 1,
): Promise<NamedTestResult> {
  return runNamedTests({
    workspaceDir: copy.dir,
    packageFolder,
    tests,
    environment,
    limitMs: limitMs * shares,
    signal,
  });
}
