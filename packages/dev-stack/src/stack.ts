import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DevStackError } from './errors.ts';
import { isFree, tryLock } from './lock.ts';
import { type ClientMessage, type DaemonArguments, type DaemonMessage, receive, send } from './protocol.ts';
import { tailOf } from './stack-host.ts';
import {
  endRecordedProcesses,
  ensureStateDir,
  removeData,
  type StatePaths,
  statePaths,
  type WantedMode,
  wantedModes,
} from './state.ts';

/** A running PostgreSQL and Kafka. */
export interface DevStack {
  mode: 'environment' | 'docker' | 'embedded';
  /** URL of database `postgres` as superuser. */
  postgresUrl: string;
  /** `host:port` of each broker. */
  kafkaBrokers: string[];
  /** Resolves when the stack has ended although it is still held, or was released. */
  ended: Promise<void>;
  /** Gives the stack back. If nobody else holds it, it ends: before this resolves, or after the linger time. */
  release(): Promise<void>;
}

export interface AcquireOptions {
  /** Stacks of different scopes are separate; default DEV_STACK_SCOPE, else `shared`. */
  scope?: string;
  /** Progress, one line each. */
  log?(line: string): void;
  /** How long the stack outlives its release by this holder, if that is the last one; default 0. */
  lingerMs?: number;
}

/** Long enough to fetch Kafka's jars or the images first. */
const startTimeoutMs = 1_200_000;

/** An end in order takes well below a second, except the very first one, which writes Kafka's class archive. */
const endTimeoutMs = 60_000;

const pollIntervalMs = 25;

/**
 * Gives a real PostgreSQL and a real Kafka, shared with every other process of this checkout that asks:
 * those named by DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS, else containers if a Docker engine
 * answers, else embedded servers; DEV_STACK=docker|embedded forces one.
 * @throws DevStackError when that is not possible; its message says what to do
 */
export async function acquireDevStack(options: AcquireOptions = {}): Promise<DevStack> {
  const given = stackFromEnvironment();
  if (given) return given;
  const { scope = wantedScope(), log = () => undefined, lingerMs = 0 } = options;
  const mode = wantedMode();
  const paths = statePaths(scope, mode);
  ensureStateDir(paths.dir);
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline) {
    const socket = await connectToDaemon(paths, { scope, mode }, deadline);
    const closed = closeOf(socket);
    say(socket, { type: 'hold', lingerMs });
    const ready = await Promise.race([readyMessage(socket, log), closed, limit(deadline - Date.now())]);
    if (ready) return { ...ready, ended: closed, release: () => release(socket, closed) };
    socket.destroy(); // the daemon was just ending; the next one can start as soon as it is gone
  }
  throw timeout('did not come up', paths);
}

/** Ends the scope's stacks now, whoever holds them, and waits until their servers are gone. */
export async function stopDevStack(scope: string = wantedScope()): Promise<void> {
  await Promise.all(wantedModes.map((mode) => stopOne(statePaths(scope, mode))));
}

async function stopOne(paths: StatePaths): Promise<void> {
  if (!existsSync(paths.dir)) return;
  for (const deadline = Date.now() + endTimeoutMs; Date.now() < deadline; await sleep(pollIntervalMs)) {
    // Who has the lock knows that no daemon runs; what a killed one left is ended here.
    const lock = tryLock(paths.lock);
    if (lock) {
      await endRecordedProcesses(paths);
      removeData(paths);
      return lock.release();
    }
    const socket = await tryConnect(paths.socket);
    if (socket === undefined) continue; // it is starting or ending
    socket.resume(); // what it tells must be taken, or its end is never seen
    say(socket, { type: 'stop' });
    await Promise.race([closeOf(socket), limit(deadline - Date.now())]);
    socket.destroy();
  }
  throw timeout('does not end', paths);
}

function stackFromEnvironment(): DevStack | undefined {
  const { DEV_STACK_POSTGRES_URL: postgresUrl, DEV_STACK_KAFKA_BROKERS: brokers } = process.env;
  if (!postgresUrl && !brokers) return undefined;
  if (!postgresUrl || !brokers)
    throw new DevStackError(
      'DEV_STACK_CONFIG',
      'Set both DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS, or neither.',
    );
  return {
    mode: 'environment',
    postgresUrl,
    kafkaBrokers: brokers.split(',').map((broker) => broker.trim()),
    ended: new Promise(() => undefined),
    release: async () => undefined,
  };
}

function wantedScope(): string {
  return process.env.DEV_STACK_SCOPE || 'shared';
}

function wantedMode(): WantedMode {
  const mode = process.env.DEV_STACK || 'auto';
  if ((wantedModes as readonly string[]).includes(mode)) return mode as WantedMode;
  throw new DevStackError('DEV_STACK_CONFIG', `DEV_STACK=${mode} is unknown; it may be docker or embedded.`);
}

/** Connects, starting a daemon whenever none runs. Of several started at once, the lock lets one stay. */
async function connectToDaemon(paths: StatePaths, args: DaemonArguments, deadline: number): Promise<Socket> {
  let daemon: ChildProcess | undefined;
  for (; Date.now() < deadline; await sleep(pollIntervalMs)) {
    const socket = await tryConnect(paths.socket);
    if (socket) return socket;
    if (daemon && (daemon.exitCode || daemon.signalCode))
      throw new DevStackError(
        'DEV_STACK_START_FAILED',
        `The development stack did not start. Its log:\n${tailOf(paths.daemonLog)}`,
      );
    const mayStart = daemon === undefined || daemon.exitCode === 0;
    // While somebody has the lock, a daemon is starting or ending.
    if (mayStart && isFree(paths.lock)) daemon = await startDaemon(paths, args);
  }
  throw timeout('does not answer', paths);
}

async function startDaemon(paths: StatePaths, args: DaemonArguments): Promise<ChildProcess> {
  const log = openSync(paths.daemonLog, 'a');
  const entry = join(import.meta.dirname, 'daemon.ts');
  // In a session of its own, so that Ctrl-C in our terminal reaches us and not the servers before us.
  const daemon = spawn(process.execPath, [entry, JSON.stringify(args)], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: paths.dir,
  });
  closeSync(log);
  await once(daemon, 'spawn');
  daemon.unref();
  return daemon;
}

async function tryConnect(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    socket.on('error', () => undefined); // 'close' follows
    return socket;
  } catch {
    socket.destroy(); // nobody listens: no daemon, or one that is not ready yet
    return undefined;
  }
}

/** Resolves when the connection is closed, in order or not. */
const closeOf = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.once('close', () => resolve());
  });

const say = (socket: Socket, message: ClientMessage): void => send(socket, message);

/** The daemon's word on the servers; stays open when it hangs up before. */
function readyMessage(socket: Socket, log: (line: string) => void) {
  return new Promise<Pick<DevStack, 'mode' | 'postgresUrl' | 'kafkaBrokers'>>((resolve, reject) => {
    receive<DaemonMessage>(socket, (message) => {
      if (message.type === 'log') log(message.line);
      else if (message.type === 'failed') {
        socket.destroy();
        reject(new DevStackError(message.code, message.message));
      } else {
        const { mode, postgresUrl, kafkaBrokers } = message;
        resolve({ mode, postgresUrl, kafkaBrokers });
      }
    });
  });
}

async function release(socket: Socket, closed: Promise<void>): Promise<void> {
  if (socket.destroyed) return;
  say(socket, { type: 'release' });
  await Promise.race([closed, limit(endTimeoutMs)]);
  socket.destroy();
}

/** A limit that keeps nobody from ending meanwhile. */
const limit = (ms: number): Promise<void> => sleep(ms, undefined, { ref: false });

function timeout(what: string, paths: StatePaths): DevStackError {
  const log = tailOf(paths.daemonLog);
  return new DevStackError('DEV_STACK_TIMEOUT', `The development stack ${what}. Its log:\n${log}`);
}
