import type { Finding } from '../finding.ts';
import { inOneLine, runPnpm } from './pnpm.ts';

/**
 * Asks pnpm whether the lockfile fits every package.json and holds nothing that the install settings refuse. The
 * install before each script does not say so loudly enough: where it fails, pnpm warns and runs the script all the same.
 * @param dir a project with a pnpm-lock.yaml
 * @param settings for pnpm, such as `--registry`
 */
export async function checkLockfile(dir: string, settings: readonly string[] = []): Promise<Finding[]> {
  const args = ['install', '--frozen-lockfile', '--lockfile-only', '--reporter', 'silent', ...settings];
  const { status, stdout, stderr } = await runPnpm(dir, args);
  if (status === 0) return [];
  return [{ rule: 'lockfile', where: 'pnpm-lock.yaml', message: inOneLine(`${stdout}\n${stderr}`) }];
}
