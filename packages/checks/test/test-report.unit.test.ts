import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { closingLine, testTable, totalsOf } from '../src/tests/closing-line.ts';
import { type PackageResult, packageResult } from '../src/tests/test-report.ts';
import { scratchDir } from './scratch.ts';

interface File {
  status?: string;
  message?: string;
  tests?: string[];
}

/** The result of a package `p` whose report says this; no report when `files` is a text to write instead. */
function resultOf(
  files: File[] | string | null,
  exitCode: number | 'not run' = 0,
  unhandled?: string[],
): PackageResult {
  const dir = scratchDir();
  const text =
    typeof files === 'string' ? files : JSON.stringify({ testResults: files?.map(asTestFile(dir)) });
  const reportDir = files === null ? dir : scratchDir({ 'vitest.json': text });
  const errorDir = scratchDir(unhandled && { 'unhandled-errors.json': JSON.stringify(unhandled) });
  return packageResult({
    name: 'p',
    dir,
    reportPath: join(reportDir, 'vitest.json'),
    unhandledErrorsPath: join(errorDir, 'unhandled-errors.json'),
    exitCode: exitCode === 'not run' ? undefined : exitCode,
  });
}

const asTestFile =
  (dir: string) =>
  ({ status = 'passed', message = '', tests = [] }: File) => ({
    name: `${dir}/test/a.test.ts`,
    status,
    message,
    assertionResults: tests.map((one, index) => ({
      ancestorTitles: ['suite'],
      title: `t${index}`,
      status: one,
      ...(one === 'failed' && { failureMessages: ['AssertionError: expected 1 to be 2\n    at x'] }),
    })),
  });

describe('one package', () => {
  test('counts what its report says', () => {
    const tests = ['passed', 'failed', 'skipped', 'passed', 'todo', 'pending'];
    expect(resultOf([{ status: 'failed', tests }], 1)).toEqual({
      package: 'p',
      passed: 2,
      failed: 1,
      skipped: 3,
      failures: ['test/a.test.ts > suite > t1: AssertionError: expected 1 to be 2'],
    });
  });

  test.each<[string, File[] | string | null, number | 'not run', string]>([
    ['a missing report', null, 1, 'no test report (the file is missing)'],
    ['a missing report of tests that ended well', null, 0, 'no test report (the file is missing)'],
    ['a report that is something else', '{}', 0, 'no test report (not a vitest report)'],
    ['no test at all', [], 0, 'the report has no test'],
    ['files without a test', [{}], 0, 'the report has no test'],
    [
      'a file that could not be loaded',
      [{ status: 'failed', message: 'SyntaxError: x\n at y' }, { tests: ['passed'] }],
      1,
      'test/a.test.ts could not be run: SyntaxError: x',
    ],
    [
      'a file whose hook failed',
      [{ status: 'failed', tests: ['skipped'] }],
      1,
      'test/a.test.ts could not be run to its end',
    ],
    [
      'an exit status that no test explains',
      [{ tests: ['passed'] }],
      1,
      'its tests ended with status 1, although none failed',
    ],
    ['tests that never ran', [{ tests: ['passed'] }], 'not run', 'its tests were not run to their end'],
  ])('%s is a failure', (_, files, exitCode, why) => {
    const { failed, failures } = resultOf(files, exitCode);
    expect({ failed, failures }).toEqual({ failed: 1, failures: [why] });
  });

  test('an error that no test caught is a failure, and is named', () => {
    const { passed, failures } = resultOf([{ tests: ['passed'] }], 1, ['Error: cut off (at x.ts:1)']);
    expect({ passed, failures }).toEqual({
      passed: 1,
      failures: ['an error that no test caught: Error: cut off (at x.ts:1)'],
    });
  });

  test('half a report is a failure', () => {
    expect(resultOf('{"testResults":[', 1)).toMatchObject({ failed: 1, passed: 0 });
  });
});

describe('the closing line', () => {
  const a = { package: '@orders/a', passed: 12, failed: 0, skipped: 1, failures: [] };
  const b = { package: '@orders/bb', passed: 3, failed: 2, skipped: 0, failures: ['x', 'y'] };

  test('sums up all packages', () => {
    expect(closingLine(totalsOf([a, b]))).toBe('15 passed, 2 failed, 1 skipped');
  });

  test('a run without a package fails', () => {
    expect(closingLine(totalsOf([]))).toBe('0 passed, 1 failed, 0 skipped');
  });

  test('the table has a row for each package and names what failed', () => {
    expect(testTable([a, b])).toEqual([
      'package     passed  failed skipped',
      '@orders/a       12       0       1',
      '@orders/bb       3       2       0',
      'FAILED @orders/bb: x',
      'FAILED @orders/bb: y',
    ]);
  });
});
