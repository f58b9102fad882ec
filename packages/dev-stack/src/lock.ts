import { DatabaseSync } from 'node:sqlite';

/**
 * Takes the exclusive lock at `path`, or returns undefined when another process holds it. The operating system
 * keeps it (SQLite locks the file), so a killed holder's lock is free at once and there is no stale lock to break.
 * The file itself must never be deleted: somebody may be about to lock it.
 */
export function tryLock(path: string): { release(): void } | undefined {
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
    return { release: () => database.close() };
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}

const SQLITE_BUSY = 5;

/** Whether nobody holds the lock at this moment. */
export function isFree(path: string): boolean {
  const lock = tryLock(path);
  lock?.release();
  return lock !== undefined;
}
