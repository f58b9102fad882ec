import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runAllTests } from '../src/tests/run-all-tests.ts';
import { scratchDir } from './scratch.ts';

const report = (...states: string[]) =>
  JSON.stringify({
    testResults: [
      {
        name: 'a.test.ts',
        status: 'passed',
        message: '',
        assertionResults: states.map((status) => ({ ancestorTitles: [], title: 't', status })),
      },
    ],
  });

/** A workspace whose packages' tests are shell commands; each finds the report it may write in `report.json`. */
function workspace(scripts: Record<string, string | null>): string {
  const files: Record<string, string> = {
    'package.json': JSON.stringify({ name: 'root', private: true, packageManager: 'pnpm@12.21.0' }),
    // What pnpm would otherwise do first in a folder that nothing was installed into.
    'pnpm-workspace.yaml': 'packages: [packages/*]\nverifyDepsBeforeRun: false\npmOnFail: ignore\n',
    'turbo.json': JSON.stringify({ concurrency: '2', tasks: { test: { cache: false } } }),
  };
  for (const [name, script] of Object.entries(scripts)) {
    const test = script === null ? {} : { test: script };
    files[`packages/${name}/package.json`] = JSON.stringify({ name, version: '0.0.0', scripts: test });
    files[`packages/${name}/report.json`] = report('passed', 'skipped');
    files[`packages/${name}/.reports/vitest.json`] = report('passed', 'passed'); // of an earlier run
  }
  return scratchDir(files);
}

const writeReport = 'mkdir -p .reports && cp report.json .reports/vitest.json';
const run = (root: string, filters: string[] = [], signal = new AbortController().signal) =>
  runAllTests({ root, filters, output: 'ignore', signal });

describe('the tests of all packages', () => {
  test('go on after a failure, and an old report never speaks for a run that wrote none', async () => {
    const root = workspace({
      a_fails: 'exit 3',
      b_good: writeReport,
      c_unhandled: `${writeReport} && exit 1`,
      d_silent: 'true',
      e_no_script: null,
    });
    const results = await run(root);
    expect(results.map((one) => [one.package, one.passed, one.failed, one.skipped, ...one.failures])).toEqual(
      [
        ['a_fails', 0, 1, 0, 'no test report (the file is missing)'],
        ['b_good', 1, 0, 1],
        ['c_unhandled', 1, 1, 1, expect.stringContaining('status 1')],
        ['d_silent', 0, 1, 0, 'no test report (the file is missing)'],
        ['e_no_script', 0, 1, 0, 'no test report (the file is missing)'],
      ],
    );
  });

  test('a filter takes only its packages', async () => {
    const results = await run(workspace({ a: writeReport, b: 'exit 1' }), ['a']);
    expect(results).toMatchObject([{ package: 'a', passed: 1, failed: 0 }]);
  });

  test('an unknown package is an error, not an empty run', async () => {
    await expect(run(workspace({ a: writeReport }), ['nowhere'])).rejects.toThrow(/nowhere/);
  });

  test('an interruption reaches the tests, waits for their clean-up and leaves no process', async () => {
    const waits = `node -e "
      const { appendFileSync } = require('node:fs');
      process.on('SIGINT', () => { appendFileSync('signals', 'SIGINT '); setTimeout(() => process.exit(0), 300); });
      process.on('exit', () => appendFileSync('signals', 'cleaned'));
      setInterval(() => {}, 1000);
      appendFileSync('pid', String(process.pid));
    "`;
    const root = workspace({ slow: waits });
    const interruption = new AbortController();
    const running = run(root, [], interruption.signal);
    const pidFile = join(root, 'packages/slow/pid');
    await expect.poll(() => existsSync(pidFile), { timeout: 15_000 }).toBe(true);
    interruption.abort();
    expect(await running).toMatchObject([{ package: 'slow', failed: 1 }]);
    expect(readFileSync(join(root, 'packages/slow/signals'), 'utf8')).toMatch(/^(?:SIGINT )+cleaned$/);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });
});
