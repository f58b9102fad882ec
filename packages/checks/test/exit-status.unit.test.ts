import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../src/run.ts';
import { workspaceRoot } from '../src/workspace.ts';

const run = (command: string, args: readonly string[], environment: Record<string, string> = {}) =>
  runCommand(process.execPath, [join(workspaceRoot, 'packages/checks/src', command), ...args], {
    environment,
  });

test('check:supply: what could not be looked at is skipped, and on GitHub it fails', {
  timeout: 60_000,
}, async () => {
  const offline = await run('check-supply.ts', ['--offline'], { GITHUB_ACTIONS: '' });
  expect(offline).toMatchObject({ status: 77, stdout: expect.stringContaining('skipped: actionlint') });
  const onGitHub = await run('check-supply.ts', ['--offline'], { GITHUB_ACTIONS: 'true' });
  expect(onGitHub).toEqual({ ...offline, status: 1 });
});

test('images --release refuses a build base without its digest, before it builds anything', async () => {
  const bases = [[], ['--build-base', 'node:24-trixie-slim']];
  for (const base of bases)
    expect(await run('images.ts', ['--release', ...base])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('a release is built on bases named with their digests'),
    });
});
