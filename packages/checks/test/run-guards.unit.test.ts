import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { readGuards } from '../src/guards/guard-patch.ts';
import { type GuardResult, runGuards } from '../src/guards/run-guards.ts';
import { linkVitest, makeScratchDir, scratchDir } from './scratch.ts';

const source = `const seen = new Set<string>();

export function accept(id: string): boolean {
  if (seen.has(id)) return false;
  if (id === '') return false;
  seen.add(id);
  return true;
}

export async function settle(limit: number): Promise<number> {
  return limit;
}
`;

const tests = `import { expect, test, describe } from 'vitest';
import { accept, settle } from '../src/accept.ts';

describe('accepting (once)', () => {
  test('takes an id once > ever', () => {
    expect([accept('a'), accept('a')]).toEqual([true, false]);
  });
  test('takes an id', () => {
    expect(accept('b')).toBe(true);
  });
});
test('polls', async () => {
  let value = 0;
  await expect.poll(() => (value = accept(String(value)) ? value + 1 : value), { timeout: 200, interval: 10 }).toBe(4);
});
test('settles', async () => {
  expect(await settle(1)).toBe(1);
}, 300);
test('fails always', () => {
  expect(1).toBe(2);
});
test('throws', () => {
  if (!accept('c')) throw new Error('refused');
});
test('sees the given environment', () => {
  expect(process.env.GIVEN).toBe('yes');
});
`;

const name = {
  once: 'accepting (once) > takes an id once > ever',
  polls: 'polls',
  settles: 'settles',
  failsAlways: 'fails always',
  throws: 'throws',
  environment: 'sees the given environment',
};

/** A patch that replaces one line of the source (counted from 1). */
function patch(line: number, replacement: string[], testNames: string[], expected = 'red'): string {
  const lines = source.trimEnd().split('\n');
  const body = lines.flatMap((text, index) =>
    index === line - 1 ? [`-${text}`, ...replacement.map((one) => `+${one}`)] : [` ${text}`],
  );
  return [
    '# guard: a promise',
    '# package: packages/scratch',
    ...testNames.map((one) => `# test: test/accept.unit.test.ts :: ${one}`),
    `# expect: ${expected}`,
    '--- a/packages/scratch/src/accept.ts',
    '+++ b/packages/scratch/src/accept.ts',
    `@@ -1,${lines.length} +1,${lines.length - 1 + replacement.length} @@`,
    ...body,
    '',
  ].join('\n');
}

const patches: Record<string, string> = {
  'red-holds': patch(4, [], [name.once]),
  'red-by-poll': patch(6, ['  seen.add(id); return false;'], [name.polls]),
  'green-holds': patch(5, [], [name.once, name.environment], 'green'),
  'useless-guard': patch(5, [], [name.once]),
  'one-test-of-two': patch(4, [], [name.once, name.settles]),
  'green-that-breaks': patch(4, [], [name.once], 'green'),
  'compile-error': patch(4, ['  if (seen.has(id) return false;'], [name.once]),
  'missing-import': patch(1, [`import './gone.ts';`], [name.once]),
  'time-out': patch(11, ['  return new Promise(() => undefined);'], [name.settles]),
  'not-an-assertion': patch(4, ['  if (!seen.has(id)) return false;'], [name.throws]),
  'process-ends': patch(4, ['  process.kill(process.pid, "SIGKILL");'], [name.once]),
  'missing-test': patch(4, [], ['accepting (once) > takes an id once']),
  'missing-file': patch(4, [], [name.once]).replace('accept.unit', 'gone.unit'),
  'missing-package': patch(4, [], [name.once]).replace(
    '# package: packages/scratch',
    '# package: packages/gone',
  ),
  'red-already': patch(4, [], [name.failsAlways]),
  'does-not-apply': patch(4, [], [name.once]).replace('-  if (seen.has', '-  if (seen.had'),
};

const expectations: Record<string, string | undefined> = {
  'red-holds': undefined,
  'red-by-poll': undefined,
  'green-holds': undefined,
  'useless-guard': 'the test still passes without the guard',
  'one-test-of-two': 'the test still passes without the guard: test/accept.unit.test.ts :: settles',
  'green-that-breaks': 'a test fails (AssertionError',
  'compile-error': 'the tests could not be run',
  'missing-import': 'the tests could not be run',
  'time-out': 'the test fails, but not by an assertion (TestTimeoutError',
  'not-an-assertion': 'the test fails, but not by an assertion (Error: refused)',
  'process-ends': 'the test did not run',
  'missing-test': 'with the guard in place: there is no such test',
  'missing-file': 'with the guard in place: there is no such test',
  'missing-package': 'with the guard in place: vitest ended without a result',
  'red-already': 'with the guard in place: a test fails (AssertionError',
  'does-not-apply': 'the patch does not apply',
};

let root: string;
beforeAll(() => {
  root = makeScratchDir({
    'package.json': '{"name":"root","private":true,"type":"module"}',
    'packages/scratch/package.json': '{"name":"scratch","type":"module"}',
    'packages/scratch/vitest.config.ts': `export default { test: { include: ['test/**/*.unit.test.ts'] } };\n`,
    'packages/scratch/src/accept.ts': source,
    'packages/scratch/test/accept.unit.test.ts': tests,
    ...Object.fromEntries(Object.entries(patches).map(([file, text]) => [`guards/${file}.patch`, text])),
  });
  linkVitest(join(root, 'packages/scratch'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const environment = { GIVEN: 'yes' };

describe('removing guards', () => {
  let results: Map<string, GuardResult>;
  const told: string[] = [];
  beforeAll(async () => {
    const { guards, broken } = readGuards(join(root, 'guards'));
    expect(broken).toEqual([]);
    const all = await runGuards(guards, {
      root,
      environment,
      signal: new AbortController().signal,
      onResult: (result) => told.push(result.name),
    });
    results = new Map(all.map((result) => [result.name, result]));
  });

  test.each(Object.entries(expectations))('%s', (guard, why) => {
    const result = results.get(guard);
    if (why === undefined) expect(result).toMatchObject({ holds: true });
    else expect(result).toMatchObject({ holds: false, why: expect.stringContaining(why) });
  });

  test('every guard is told as soon as it is known, and the workspace is as it was', () => {
    expect(told.toSorted()).toEqual(Object.keys(patches).toSorted());
    expect(readGuards(join(root, 'guards')).guards).toHaveLength(told.length);
  });
});

test('tests that never end are stopped', async () => {
  const { guards } = readGuards(join(root, 'guards'));
  const some = guards.filter((guard) => guard.name === 'red-holds');
  const signal = new AbortController().signal;
  const [result] = await runGuards(some, { root, environment, signal, limitMs: 50 });
  expect(result).toMatchObject({ holds: false, why: expect.stringContaining('did not end in time') });
});

test('an interruption ends it at once and leaves no copy behind', async () => {
  const temporary = scratchDir();
  vi.stubEnv('TMPDIR', temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { guards } = readGuards(join(root, 'guards'));
  const interruption = new AbortController();
  const running = runGuards(guards, { root, environment, signal: interruption.signal });
  const vitestRuns = () => readdirSync(temporary).filter((entry) => entry.startsWith('orders-guard-run-'));
  await expect.poll(() => vitestRuns().length, { timeout: 10_000 }).toBeGreaterThan(0);
  interruption.abort(new Error('interrupted by SIGINT'));
  await expect(running).rejects.toThrow('interrupted by SIGINT');
  expect(readdirSync(temporary).filter((entry) => entry.startsWith('orders-'))).toEqual([]);
});
