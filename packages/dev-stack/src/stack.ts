import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DevStackError } from './errors.ts';
import { isAlive } from './process-identity.ts';
import { type DaemonArguments, type DaemonMessage, stopRequest } from './protocol.ts';
import { tailOf } from './stack-host.ts';
import {
  clearLeftovers,
  ensureStateDir,
  readState,
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
  /** Gives the stack back; when nobody holds it any more, it ends after a few seconds. */
  release(): Promise<void>;
}

export interface AcquireOptions {
  /** Stacks of different scopes are separate; default `shared`. */
  scope?: string;
  /** Progress, one line each. */
  log?(line: string): void;
  /** How long the stack outlives its last holder; decided by the one who starts it. */
  lingerMs?: number;
}

/**
 * Gives a real PostgreSQL and a real Kafka, shared with every other process of this checkout that asks:
 * those named by DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS, else containers if a Docker engine
 * answers, else embedded servers; DEV_STACK=docker|embedded forces one.
 * Throws DevStackError when that is not possible; its message says what to do.
 */
export async function acquireDevStack(options: AcquireOptions = {}): Promise<DevStack> {
  const given = stackFromEnvironment();
  if (given) return given;
  const { scope = 'shared', log = () => undefined, lingerMs = 5_000 } = options;
  const mode = wantedMode();
  const paths = statePaths(scope, mode);
  ensureStateDir(paths.dir);
  // A daemon that is just ending drops us; then we start the next one as soon as it is gone.
  for (const deadline = Date.now() + 300_000; Date.now() < deadline; ) {
    const socket = await connectToDaemon(paths, { scope, mode, lingerMs });
    const ready = await waitUntilReady(socket, log);
    socket.resume();
    if (ready) return { ...ready, release: () => closeSocket(socket) };
  }
  throw new DevStackError(
    'DEV_STACK_TIMEOUT',
    `The development stack did not come up. Its log:\n${tailOf(paths.daemonLog)}`,
  );
}

/** Ends the scope's stacks now, whoever holds them, and waits until their servers are gone. */
export async function stopDevStack(scope = 'shared'): Promise<void> {
  await Promise.all(wantedModes.map((mode) => stopOne(statePaths(scope, mode))));
}

async function stopOne(paths: StatePaths): Promise<void> {
  const { processes } = readState(paths);
  const socket = await tryConnect(paths);
  socket?.write(stopRequest);
  const deadline = Date.now() + 60_000;
  while (socket && processes.some(isAlive)) {
    if (Date.now() > deadline)
      throw new DevStackError('DEV_STACK_TIMEOUT', `The stack does not end: ${JSON.stringify(processes)}`);
    await sleep(30);
  }
  socket?.destroy();
  if (!socket && processes.length > 0) await clearLeftoversLocked(paths);
}

async function clearLeftoversLocked(paths: StatePaths): Promise<void> {
  const { tryLock } = await import('./lock.ts');
  const { removeContainer } = await import('./docker.ts');
  const lock = tryLock(paths.lock);
  if (lock) await clearLeftovers(paths, removeContainer).finally(() => lock.release());
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
    release: async () => undefined,
  };
}

function wantedMode(): WantedMode {
  const mode = process.env.DEV_STACK || 'auto';
  if ((wantedModes as readonly string[]).includes(mode)) return mode as WantedMode;
  throw new DevStackError('DEV_STACK_CONFIG', `DEV_STACK=${mode} is unknown; it may be docker or embedded.`);
}

/** Connects, starting a daemon whenever none listens. Surplus daemons end at once: one holds the lock. */
async function connectToDaemon(paths: StatePaths, args: DaemonArguments): Promise<Socket> {
  let starting = false;
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(50)) {
    const socket = await tryConnect(paths);
    if (socket) return socket;
    if (starting) continue;
    starting = true;
    startDaemon(paths, args).finally(() => {
      starting = false;
    });
  }
  throw new DevStackError('DEV_STACK_TIMEOUT', `No daemon listens. Its log:\n${tailOf(paths.daemonLog)}`);
}

/** Resolves when the started process has ended, which for the one that serves us is long after. */
async function startDaemon(paths: StatePaths, args: DaemonArguments): Promise<void> {
  const log = openSync(paths.daemonLog, 'a');
  const entry = join(import.meta.dirname, 'daemon.ts');
  // In a session of its own, so that Ctrl-C in our terminal reaches us and not the servers before us.
  const daemon = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', entry, JSON.stringify(args)],
    {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: paths.dir,
    },
  );
  closeSync(log);
  daemon.unref();
  await once(daemon, 'exit');
}

async function tryConnect(paths: StatePaths): Promise<Socket | undefined> {
  const socket = connect(paths.socket);
  try {
    await once(socket, 'connect');
    socket.on('error', () => undefined); // 'close' follows
    return socket;
  } catch {
    socket.destroy();
    return undefined;
  }
}

/** Listens to the daemon; undefined when it hangs up before the servers are ready. */
async function waitUntilReady(socket: Socket, log: (line: string) => void) {
  for await (const line of createInterface({ input: socket })) {
    const message = JSON.parse(line) as DaemonMessage;
    if (message.type === 'log') log(message.line);
    if (message.type === 'failed') throw new DevStackError(message.code, message.message);
    if (message.type === 'ready') {
      const { mode, postgresUrl, kafkaBrokers } = message;
      return { mode, postgresUrl, kafkaBrokers };
    }
  }
  return undefined;
}

async function closeSocket(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  const closed = once(socket, 'close');
  socket.end();
  await closed;
}
