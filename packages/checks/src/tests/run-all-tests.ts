import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type PackageResult, packageResult } from './test-report.ts';
import { planTests, runTests, type TurboRun } from './turbo.ts';

/** Where every package's tests write their report, relative to the package. */
export const reportFile = '.reports/vitest.json';

/** And the errors that no test caught: a list of lines, written by the reporter of `dev-stack`. */
export const unhandledErrorsFile = '.reports/unhandled-errors.json';

/** Runs the tests of every package (of the filtered ones) once and counts what their reports say. */
export async function runAllTests(run: TurboRun): Promise<PackageResult[]> {
  const tasks = await planTests(run.root, run.filters);
  // An old report must not speak for a run that did not write one.
  for (const { dir } of tasks)
    for (const file of [reportFile, unhandledErrorsFile]) rmSync(join(dir, file), { force: true });
  const exitCodes = await runTests(run);
  return tasks.map((task) =>
    packageResult({
      name: task.package,
      dir: task.dir,
      reportPath: join(task.dir, reportFile),
      unhandledErrorsPath: join(task.dir, unhandledErrorsFile),
      exitCode: exitCodes.get(task.package),
    }),
  );
}
