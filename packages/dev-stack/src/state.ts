import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { DevStackError } from './errors.ts';
import { endProcess, type ProcessIdentity } from './process-identity.ts';

/** How the servers are chosen; `auto` takes Docker if an engine answers, else the embedded ones. */
export type WantedMode = 'auto' | 'docker' | 'embedded';

export const wantedModes: readonly WantedMode[] = ['auto', 'docker', 'embedded'];

/** A process of the stack, and the signal that ends it. */
export interface RecordedProcess extends ProcessIdentity {
  endSignal: NodeJS.Signals;
}

/** What the daemon has running; kept on disk so that the next run can end it if the daemon is killed. */
export interface DaemonState {
  processes: RecordedProcess[];
}

/** Files of one stack: one per checkout, user, scope and wanted mode. */
export interface StatePaths {
  dir: string;
  socket: string;
  lock: string;
  state: string;
  /** The servers' data, deleted with the stack. */
  data: string;
  daemonLog: string;
  kafkaLog: string;
  postgresLog: string;
}

/** The checkout this source belongs to. */
export const checkoutDir = resolve(import.meta.dirname, '../../..');

/** The state directory's paths; short, because a unix socket's path may have about 100 characters only. */
export function statePaths(scope: string, mode: WantedMode): StatePaths {
  const key = JSON.stringify([checkoutDir, userInfo().uid, scope, mode]);
  const dir = join(
    tmpdir(),
    `orders-dev-stack-${createHash('sha256').update(key).digest('hex').slice(0, 10)}`,
  );
  return {
    dir,
    socket: join(dir, 'socket'),
    lock: join(dir, 'lock'),
    state: join(dir, 'state.json'),
    data: join(dir, 'data'),
    daemonLog: join(dir, 'daemon.log'),
    kafkaLog: join(dir, 'kafka.log'),
    postgresLog: join(dir, 'postgres.log'),
  };
}

/** Creates the state directory; refuses one that somebody else has put there. */
export function ensureStateDir(dir: string): void {
  // Others may pass through but not read: PostgreSQL runs as another user when we are root.
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const found = lstatSync(dir);
  if (!found.isDirectory() || (found.uid !== userInfo().uid && userInfo().uid !== -1))
    throw new DevStackError('DEV_STACK_CONFIG', `${dir} exists and is not ours: remove it or set TMPDIR.`);
}

export function readState(paths: StatePaths): DaemonState {
  try {
    return JSON.parse(readFileSync(paths.state, 'utf8')) as DaemonState;
  } catch (error) {
    // Absent, or torn by a power failure, after which none of its processes is left.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError)
      return { processes: [] };
    throw error;
  }
}

/** Replaces the state file in one step, so that a kill never leaves half of it. */
export function writeState(paths: StatePaths, state: DaemonState): void {
  const next = `${paths.state}.next`;
  writeFileSync(next, JSON.stringify(state, null, 2));
  renameSync(next, paths.state);
}

/**
 * Ends every recorded process but this one: what a killed daemon left behind, or one's own at the end. Only for
 * the holder of the stack's lock.
 */
export async function endRecordedProcesses(paths: StatePaths): Promise<void> {
  const { processes } = readState(paths);
  const others = processes.filter((one) => one.pid !== process.pid);
  await Promise.all(others.map((one) => endProcess(one, one.endSignal, endGraceMs)));
}

const endGraceMs = 5_000;

/** Deletes the servers' data and the record of what ran. Only for the holder of the stack's lock. */
export function removeData(paths: StatePaths): void {
  // The last writers of a killed PostgreSQL may take a moment to notice.
  for (const path of [paths.socket, paths.data, paths.state])
    rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}
