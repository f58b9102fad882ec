import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { pnpmCommand } from '@orders/dev-stack';

/**
 * The version that this one is rolled out over; at each release it becomes the release before.
 * This one lacks the outbox's migration 0007. Its 0003 and 0005 are older too: until now they were edited in place.
 */
export const versionBefore = '6c4b41108adb6e2eb937fd7cbb2d723edb6fc494';

/** A checkout that can be run, or why there is none. */
export type Checkout = { kind: 'there'; url: URL } | { kind: 'missing'; reason: string };

const run = promisify(execFile);
const repository = join(import.meta.dirname, '../../..');
const installTimeoutMs = 300_000;

/** Checks a commit out of this repository's history and installs what it needs, once for all checkouts of this user. */
export async function checkOut(commit: string): Promise<Checkout> {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const final = join(cache, 'orders-chaos', commit);
  const there: Checkout = { kind: 'there', url: pathToFileURL(`${final}/`) };
  if (existsSync(final)) return there;
  const known = await run('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: repository }).catch(
    () => null,
  );
  if (known === null)
    return { kind: 'missing', reason: `the history lacks ${commit}: run "git fetch --unshallow"` };
  mkdirSync(join(final, '..'), { recursive: true });
  const building = mkdtempSync(`${final}.`);
  try {
    const archive = join(building, 'archive.tar');
    await run('git', ['archive', '--output', archive, commit], { cwd: repository });
    await run('tar', ['-xf', archive, '-C', building]);
    rmSync(archive);
    const [command, ...first] = pnpmCommand();
    const install = [...first, 'install', '--frozen-lockfile', '--prefer-offline', '--ignore-scripts'];
    await run(command, install, { cwd: building, timeout: installTimeoutMs });
    renameSync(building, final); // in one step: whoever is first wins, all have the same
  } catch (error) {
    if (!existsSync(final)) throw error;
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return there;
}
