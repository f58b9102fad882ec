import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { workspaceRoot } from '../workspace.ts';

export interface PnpmRun {
  /** Exit status; 0 is success. */
  status: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs the pnpm that this workspace is built with, in any folder.
 * @param environment added to this process's own
 */
export function runPnpm(
  dir: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<PnpmRun> {
  const { packageManager } = JSON.parse(readFileSync(join(workspaceRoot, 'package.json'), 'utf8'));
  const options = { cwd: dir, env: { ...process.env, ...environment }, maxBuffer: 64 << 20 };
  return new Promise((done) => {
    execFile('npx', ['--yes', packageManager, ...args], options, (error, stdout, stderr) => {
      const code = error?.code;
      done({ status: typeof code === 'number' ? code : error ? 1 : 0, stdout, stderr });
    });
  });
}
