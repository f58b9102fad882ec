import type { ChildProcess } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { listenForClients } from './daemon-clients.ts';
import { DevStackError } from './errors.ts';
import { tryLock } from './lock.ts';
import { identify } from './process-identity.ts';
import type { DaemonArguments, DaemonMessage } from './protocol.ts';
import { startServers } from './servers.ts';
import type { RunningServers, StackHost } from './stack-host.ts';
import {
  type DaemonState,
  endRecordedProcesses,
  removeData,
  type StatePaths,
  statePaths,
  writeState,
} from './state.ts';

/**
 * The process that owns the servers of one stack. It ends them when its last client is gone, when it is asked to,
 * on a signal, and when one of them ends by itself. If it is killed, the next one finds its record and ends them.
 */
async function runDaemon({ scope, mode }: DaemonArguments): Promise<void> {
  const paths = statePaths(scope, mode);
  const lock = tryLock(paths.lock);
  if (!lock) return; // another daemon owns the stack; the client that started us connects to that one
  truncateSync(paths.daemonLog);
  await endRecordedProcesses(paths);
  removeData(paths);

  const asked = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, asked.resolve);
  const tracker = createTracker(paths);
  const clients = await listenForClients(paths.socket, asked.resolve);
  const say = (message: DaemonMessage) => {
    note(JSON.stringify(message));
    clients.say(message);
  };
  const host: StackHost = { paths, log: (line) => say({ type: 'log', line }), track: tracker.track };

  let servers: RunningServers | undefined;
  const serve = async () => {
    servers = await startServers(mode, host);
    const { mode: started, postgresUrl, kafkaBrokers } = servers;
    say({ type: 'ready', mode: started, postgresUrl, kafkaBrokers });
    return servers.died;
  };
  const failed = (error: unknown) => {
    const code = error instanceof DevStackError ? error.code : 'DEV_STACK_START_FAILED';
    say({ type: 'failed', code, message: error instanceof Error ? error.message : String(error) });
    return asked.promise; // not before our clients have heard it and left
  };
  note(`ending: ${await Promise.race([serve().catch(failed), asked.promise])}`);

  clients.close();
  tracker.close();
  await servers?.stop().catch((error) => note(String(error)));
  await endRecordedProcesses(paths);
  removeData(paths);
  lock.release();
  process.exit(0);
}

/** Keeps the state file in step with what runs. */
function createTracker(paths: StatePaths) {
  const state: DaemonState = { processes: [] };
  let closed = false;
  const add = (name: string, pid: number | undefined, endSignal: NodeJS.Signals) => {
    const identity = pid === undefined ? undefined : identify(name, pid);
    if (identity) state.processes.push({ ...identity, endSignal });
    writeState(paths, state);
  };
  add('daemon', process.pid, 'SIGTERM');
  return {
    track(name: string, child: ChildProcess, endSignal: NodeJS.Signals = 'SIGKILL') {
      child.on('error', () => undefined); // its starter sees it end
      // One that a starter begins while we end: it is not served any more.
      if (closed) child.kill('SIGKILL');
      else add(name, child.pid, endSignal);
    },
    close() {
      closed = true;
    },
  };
}

/** Into the daemon's log file. */
function note(text: string): void {
  console.log(new Date().toISOString(), text);
}

await runDaemon(JSON.parse(process.argv[2] ?? '{}') as DaemonArguments);
