import { existsSync, readFileSync } from 'node:fs';

/** What one package's tests came to. */
export interface PackageResult {
  package: string;
  passed: number;
  failed: number;
  skipped: number;
  /** One line for each thing that failed: a test's name and its error, or why there is nothing to count. */
  failures: string[];
}

/** The fields of vitest's JSON report that are counted here. */
interface VitestReport {
  testResults: {
    name: string;
    status: 'passed' | 'failed';
    message: string;
    assertionResults: {
      ancestorTitles: string[];
      title: string;
      status: string;
      failureMessages?: string[];
    }[];
  }[];
}

export interface PackageRun {
  name: string;
  /** Where the package's tests write their report. */
  reportPath: string;
  /** Where they write the errors that no test caught. */
  unhandledErrorsPath: string;
  /** Exit status of the package's tests; undefined when they were not run. */
  exitCode: number | undefined;
  /** Absolute; file names in failures are relative to it. */
  dir: string;
}

/**
 * Counts one package's report. What the report does not say out loud counts as failed too: a missing report, no
 * test, a file that could not be run, an error that no test caught, and an exit status that nothing explains.
 */
export function packageResult(run: PackageRun): PackageResult {
  const result: PackageResult = { package: run.name, passed: 0, failed: 0, skipped: 0, failures: [] };
  const fail = (why: string) => {
    result.failed += 1;
    result.failures.push(why);
  };
  const report = readReport(run.reportPath);
  if (report instanceof Error) {
    fail(`no test report (${report.message})`);
    return result;
  }
  for (const file of report.testResults) {
    const fileName = file.name.replace(`${run.dir}/`, '');
    const failedBefore = result.failed;
    for (const { ancestorTitles, title, status, failureMessages } of file.assertionResults) {
      const name = [fileName, ...ancestorTitles, title].join(' > ');
      if (status === 'passed') result.passed += 1;
      else if (status === 'failed') fail(because(name, failureMessages?.[0]));
      else result.skipped += 1;
    }
    if (file.status === 'failed' && result.failed === failedBefore)
      fail(
        file.message
          ? because(`${fileName} could not be run`, file.message)
          : `${fileName} could not be run to its end`,
      );
  }
  for (const error of unhandledErrors(run.unhandledErrorsPath))
    fail(`an error that no test caught: ${error}`);
  if (result.passed + result.failed + result.skipped === 0) fail('the report has no test');
  if (run.exitCode !== 0 && result.failed === 0) fail(unexplained(run.exitCode));
  return result;
}

function unexplained(exitCode: number | undefined): string {
  if (exitCode === undefined) return 'its tests were not run to their end';
  return `its tests ended with status ${exitCode}, although none failed`;
}

function readReport(path: string): VitestReport | Error {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8')) as VitestReport;
    return Array.isArray(report.testResults) ? report : new Error('not a vitest report');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return new Error(code === 'ENOENT' ? 'the file is missing' : message);
  }
}

function unhandledErrors(path: string): string[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as string[]) : [];
}

function because(name: string, error: string | undefined): string {
  return error ? `${name}: ${firstLine(error)}` : name;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
