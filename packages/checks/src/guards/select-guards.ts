import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { type Guard, guardsFolder } from './guard-patch.ts';

/** Guards that CI runs although nothing about them changed. */
const drawnCount = 5;
const recentHours = 24;
const recentCommitsMax = 200;

/** What git tells about the checkout. */
export interface RecentWork {
  /** Hash of the commit that is checked out. */
  head: string;
  /** Files that differ from it, or were changed by commits up to 24 hours (200 commits) before it. */
  files: ReadonlySet<string>;
}

/** Undefined when this is no git checkout. Commit times are compared with the head's, never with today's. */
export async function recentWork(root: string): Promise<RecentWork | undefined> {
  const git = async (...args: string[]) =>
    (await promisify(execFile)('git', ['-C', root, '-c', 'core.quotePath=false', ...args])).stdout.trim();
  let head: string;
  let headTime: string;
  try {
    [head = '', headTime = ''] = (await git('log', '-1', '--format=%H %ct')).split(' ');
  } catch {
    return undefined; // an unpacked archive; the caller then takes every guard
  }
  const since = Number(headTime) - recentHours * 3600;
  const listings = await Promise.all([
    git('log', `--since=@${since}`, `--max-count=${recentCommitsMax}`, '--name-only', '--format='),
    git('diff', '--name-only', 'HEAD'),
    git('ls-files', '--others', '--exclude-standard'),
  ]);
  return { head, files: new Set(listings.flatMap((listing) => listing.split('\n')).filter(Boolean)) };
}

/** Guards whose patch, guarded file or named test is among the files. */
export function changedGuards(guards: readonly Guard[], { files }: RecentWork): Guard[] {
  return guards.filter((guard) =>
    [
      `${guardsFolder}/${guard.name}.patch`,
      ...guard.files,
      ...guard.tests.map((test) => `${guard.packageFolder}/${test.file}`),
    ].some((file) => files.has(file)),
  );
}

/**
 * What CI runs: the changed ones and five others, drawn by the commit's hash, so that every guard is tried now and
 * then and a repeated run of one commit draws the same.
 */
export function guardsForCi(guards: readonly Guard[], work: RecentWork): Guard[] {
  const changed = new Set(changedGuards(guards, work));
  const lot = ({ name }: Guard) => createHash('sha256').update(`${work.head} ${name}`).digest('hex');
  const drawn = guards
    .filter((guard) => !changed.has(guard))
    .toSorted((a, b) => (lot(a) < lot(b) ? -1 : 1))
    .slice(0, drawnCount);
  return guards.filter((guard) => changed.has(guard) || drawn.includes(guard));
}
