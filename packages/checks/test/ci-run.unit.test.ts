import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { workspaceRoot } from '../src/workspace.ts';
import { scratchDir } from './scratch.ts';

/** `.ci/run` in a folder of its own, with an `npx` that logs its arguments and does what these scripts say. */
function startCi(scripts: Partial<Record<string, string>>) {
  const cases = Object.entries(scripts).map(([script, commands]) => `${script}) ${commands} ;;`);
  const npx = `#!/bin/sh\necho "$*" >>"${'$'}CALLS"\ncase "$3" in\n${cases.join('\n')}\nesac\n`;
  const dir = scratchDir({ 'bin/npx': npx });
  mkdirSync(join(dir, '.ci'));
  copyFileSync(join(workspaceRoot, '.ci/run'), join(dir, '.ci/run'));
  chmodSync(join(dir, 'bin/npx'), 0o755);
  const child = spawn(join(dir, '.ci/run'), {
    env: {
      ...process.env,
      PATH: `${join(dir, 'bin')}${delimiter}${process.env.PATH}`,
      CALLS: join(dir, 'calls'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const ended = once(child, 'close').then(([code]) => ({
    code: code as number,
    lastLine: output.trimEnd().split('\n').at(-1),
    output,
    calls: readFileSync(join(dir, 'calls'), 'utf8').trimEnd().split('\n'),
  }));
  return { child, dir, ended };
}

const good = { test: 'echo "12 passed, 0 failed, 1 skipped"' };

describe('.ci/run', () => {
  test("runs the README's test command between the other checks, and counts each as one", async () => {
    const { code, lastLine, calls } = await startCi(good).ended;
    expect(calls).toEqual([
      '--yes pnpm@12.21.0 check:deploy',
      '--yes pnpm@12.21.0 test',
      '--yes pnpm@12.21.0 typecheck',
      '--yes pnpm@12.21.0 lint',
      '--yes pnpm@12.21.0 floors',
      '--yes pnpm@12.21.0 check:supply',
      '--yes pnpm@12.21.0 guards --ci',
    ]);
    expect({ code, lastLine }).toEqual({ code: 0, lastLine: '18 passed, 0 failed, 1 skipped' });
  });

  test.each<[string, Partial<Record<string, string>>, string]>([
    ['a failed check', { ...good, lint: 'echo unformatted; exit 1' }, '17 passed, 1 failed, 1 skipped'],
    [
      'a failed test',
      { test: 'echo "12 passed, 2 failed, 1 skipped"; exit 1' },
      '18 passed, 2 failed, 1 skipped',
    ],
    ['tests without a closing line', { test: 'echo unwell; exit 1' }, '6 passed, 1 failed, 0 skipped'],
    ['tests without a closing line that end well', { test: 'true' }, '6 passed, 1 failed, 0 skipped'],
    ['no test at all', { test: 'echo "0 passed, 0 failed, 0 skipped"' }, '6 passed, 1 failed, 0 skipped'],
    ['an unexplained status', { test: `${good.test}; exit 1` }, '18 passed, 1 failed, 1 skipped'],
  ])('fails by %s, and goes on', async (_, scripts, expected) => {
    const { code, lastLine, calls } = await startCi(scripts).ended;
    expect({ code, lastLine }).toEqual({ code: 1, lastLine: expected });
    expect(calls).toHaveLength(7);
  });

  test('counts a check that cannot be done here as skipped, and says why at the end', async () => {
    const scripts = {
      ...good,
      'check:deploy': 'echo "skipped: no Go"; exit 77',
      'check:supply': 'echo "skipped: no registry"; echo Failed.; exit 77',
    };
    const { code, lastLine, output } = await startCi(scripts).ended;
    expect({ code, lastLine }).toEqual({ code: 0, lastLine: '16 passed, 0 failed, 3 skipped' });
    expect(output).toContain('== skipped: check:deploy: no Go\n');
    expect(output).toContain('== skipped: check:supply: no registry\n');
  });

  test('takes that only from the checks that may say so', async () => {
    const { code, lastLine } = await startCi({ ...good, lint: 'echo "skipped: tired"; exit 77' }).ended;
    expect({ code, lastLine }).toEqual({ code: 1, lastLine: '17 passed, 1 failed, 1 skipped' });
  });

  test('repeats the end of what failed', async () => {
    const { output } = await startCi({ ...good, floors: 'echo "who imports whom"; exit 1' }).ended;
    expect(output.split('== floors failed; the end of its output:')[1]).toContain('who imports whom');
  });

  test('an interruption waits for the clean-up of what runs, and starts nothing more', async () => {
    const waits = `trap 'sleep 0.3; echo cleaned >"$CALLS.cleaned"; exit 1' INT; echo >"$CALLS.ready"; while :; do sleep 0.1; done`;
    const { child, dir, ended } = startCi({ test: waits });
    await expect.poll(() => existsSync(join(dir, 'calls.ready')), { timeout: 5_000 }).toBe(true);
    child.kill('SIGTERM');
    const { code, lastLine, calls } = await ended;
    expect({ code, lastLine, calls: calls.length }).toEqual({
      code: 130,
      lastLine: '1 passed, 1 failed, 0 skipped',
      calls: 2,
    });
    expect(readFileSync(join(dir, 'calls.cleaned'), 'utf8')).toBe('cleaned\n');
  });
});
