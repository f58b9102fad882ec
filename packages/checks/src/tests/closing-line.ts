import type { PackageResult } from './test-report.ts';

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** Sums up; nothing at all counts as one failure, because a run that saw no test proves nothing. */
export function totalsOf(results: readonly PackageResult[]): Totals {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of results) {
    totals.passed += passed;
    totals.failed += failed;
    totals.skipped += skipped;
  }
  if (totals.passed + totals.failed + totals.skipped === 0) totals.failed = 1;
  return totals;
}

/** The line that a run of tests ends with. */
export function closingLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** A table with one row per package, then what failed. */
export function testTable(results: readonly PackageResult[]): string[] {
  const width = Math.max('package'.length, ...results.map((one) => one.package.length));
  const row = (name: string, ...cells: (string | number)[]) =>
    [name.padEnd(width), ...cells.map((cell) => String(cell).padStart(8))].join('');
  return [
    row('package', 'passed', 'failed', 'skipped'),
    ...results.map((one) => row(one.package, one.passed, one.failed, one.skipped)),
    ...results.flatMap((one) => one.failures.map((why) => `FAILED ${one.package}: ${why}`)),
  ];
}
