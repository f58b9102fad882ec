import { parseArgs } from 'node:util';
import { shareCompileCache } from './compile-cache.ts';
import { ensureHelm } from './deploy/helm.ts';
import { withDevStack } from './held-stack.ts';
import { abortOnSignals, interruptedStatus } from './interruption.ts';
import { closingLine, testTable, totalsOf } from './tests/closing-line.ts';
import { runAllTests } from './tests/run-all-tests.ts';
import type { PackageResult } from './tests/test-report.ts';
import { workspaceRoot } from './workspace.ts';

const help = `All tests, on one real PostgreSQL and one real Kafka. Ends with the line "N passed, N failed, N skipped".

Usage: pnpm test [filter…] [--json] [--help]

  filter   a package (outbox, @orders/outbox) or a turbo filter (./packages/*, @orders/outbox...); default: all
  --json   print the counts as JSON on standard output; the tests' output goes to standard error

A package without a report, or without a test, counts as failed.
Needs Docker, or Java 17 with Maven; DEV_STACK=docker|embedded forces one. Needs helm 4, or Go to build it once: without
both the tests of the chart are skipped.`;

process.exit(await main());

async function main(): Promise<number> {
  const { values: flags, positionals } = parseArgs({
    options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  if (flags.help) {
    console.log(help);
    return 0;
  }
  shareCompileCache(workspaceRoot);
  const signal = abortOnSignals();
  const output = flags.json ? 'stderr' : 'stdout';
  let results: PackageResult[];
  // Tests use it, and would build it themselves: beside others, which are slowed down by that.
  if (positionals.length === 0) await ensureHelm((line) => console.error(line));
  try {
    results = await withDevStack(signal, () =>
      runAllTests({ root: workspaceRoot, filters: positionals.map(asFilter), output, signal }),
    );
  } catch (error) {
    results = [{ package: 'run', passed: 0, failed: 1, skipped: 0, failures: [(error as Error).message] }];
  }
  const totals = totalsOf(results);
  if (flags.json) console.log(JSON.stringify({ ...totals, packages: results }, null, 2));
  else for (const line of ['', ...testTable(results), closingLine(totals)]) console.log(line);
  if (signal.aborted) return interruptedStatus;
  return totals.failed === 0 ? 0 : 1;
}

/** `outbox` means `@orders/outbox`; whatever looks like a turbo filter is left as it is. */
function asFilter(argument: string): string {
  return /^[a-z-]+$/.test(argument) ? `@orders/${argument}` : argument;
}
