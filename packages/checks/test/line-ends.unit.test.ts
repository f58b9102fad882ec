import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { workspaceRoot } from '../src/workspace.ts';

const dir = mkdtempSync(join(tmpdir(), 'orders-line-ends-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A script, a patch that must apply, and a source. */
const files = [
  '.ci/run',
  'packages/checks/guards/lease-before-publish.patch',
  'packages/checks/src/workspace.ts',
];

it('a Git that writes CRLF checks files out as they are in the repository: scripts run, patches apply', () => {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'core.autocrlf=true', '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      cwd: dir,
    });
  for (const file of ['.gitattributes', ...files]) cpSync(join(workspaceRoot, file), join(dir, file));
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '--message', 'all');
  for (const file of files) rmSync(join(dir, file));
  git('checkout', '--quiet', '.');
  for (const file of files)
    expect(readFileSync(join(dir, file), 'utf8'), file).toBe(readFileSync(join(workspaceRoot, file), 'utf8'));
});
