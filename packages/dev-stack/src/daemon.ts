import { createServer, type Socket } from 'node:net';
import { removeContainer } from './docker.ts';
import { DevStackError } from './errors.ts';
import { tryLock } from './lock.ts';
import { identify } from './process-identity.ts';
import { type DaemonArguments, type DaemonMessage, stopRequest } from './protocol.ts';
import { startServers } from './servers.ts';
import type { RunningServers, StackHost } from './stack-host.ts';
import { clearLeftovers, type DaemonState, type StatePaths, statePaths, writeState } from './state.ts';

/**
 * The process that owns the servers of one stack. It lives while a client is connected to its socket (plus
 * `lingerMs`), so it also ends when its clients are killed: the kernel closes their connections.
 */
async function runDaemon({ scope, mode, lingerMs }: DaemonArguments): Promise<void> {
  const paths = statePaths(scope, mode);
  const lock = tryLock(paths.lock);
  if (!lock) return; // another daemon owns the stack; the client that started us connects to that one
  await clearLeftovers(paths, removeContainer);

  const tracker = createTracker(paths);
  let servers: RunningServers | undefined;
  let ending = false;
  const end = async (why: string) => {
    if (ending) return;
    ending = true;
    note(`ending: ${why}`);
    clients.close();
    await servers?.stop().catch((error) => note(String(error)));
    await clearLeftovers(paths, removeContainer);
    lock.release();
    process.exit(0);
  };
  const clients = listenForClients({ paths, lingerMs, end });
  const host: StackHost = {
    paths,
    log: (line) => clients.say({ type: 'log', line }),
    track: (name, child) => {
      tracker.addProcess(name, child.pid);
      if (ending) child.kill('SIGKILL');
      child.on('error', () => undefined); // told by the exit code that never comes; the starter reports it
      child.on('exit', (code, signal) => {
        if (servers) void end(`${name} ended by itself (${signal ?? code})`);
      });
    },
    trackContainer: tracker.addContainer,
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void end(signal));

  try {
    const started = await startServers(mode, host);
    servers = started.servers;
    const { postgresUrl, kafkaBrokers } = servers;
    clients.say({ type: 'ready', mode: started.mode, postgresUrl, kafkaBrokers });
  } catch (error) {
    const code = error instanceof DevStackError ? error.code : 'DEV_STACK_START_FAILED';
    clients.say({ type: 'failed', code, message: (error as Error).message });
    await end('failed');
  }
}

/** Keeps the state file in step with what runs. */
function createTracker(paths: StatePaths) {
  const state: DaemonState = { processes: [], containerIds: [] };
  const tracker = {
    addProcess(name: string, pid: number | undefined) {
      const identity = pid === undefined ? undefined : identify(name, pid);
      if (identity) state.processes.push(identity);
      writeState(paths, state);
    },
    addContainer(id: string) {
      state.containerIds.push(id);
      writeState(paths, state);
    },
  };
  tracker.addProcess('daemon', process.pid);
  return tracker;
}

interface ClientsOptions {
  paths: StatePaths;
  lingerMs: number;
  end(why: string): Promise<void>;
}

/** The daemon's socket: every client hears everything said so far, and the last one's leaving ends the stack. */
function listenForClients({ paths, lingerMs, end }: ClientsOptions) {
  const clients = new Set<Socket>();
  const said: DaemonMessage[] = [];
  let closed = false;
  let lingering: NodeJS.Timeout | undefined;
  const lingerIfAlone = () => {
    clearTimeout(lingering);
    if (clients.size === 0 && !closed) lingering = setTimeout(() => void end('no client left'), lingerMs);
  };
  const server = createServer((client) => {
    if (closed) return void client.destroy();
    clients.add(client);
    clearTimeout(lingering);
    for (const message of said) client.write(line(message));
    client.on('data', (chunk) => String(chunk) === stopRequest && void end('asked to stop'));
    client.on('error', () => undefined); // 'close' follows
    client.on('close', () => {
      clients.delete(client);
      lingerIfAlone();
    });
  });
  server.listen(paths.socket);
  lingerIfAlone();
  return {
    say(message: DaemonMessage) {
      note(line(message).trimEnd());
      said.push(message);
      for (const client of clients) client.write(line(message));
    },
    close() {
      closed = true;
      clearTimeout(lingering);
      server.close();
      for (const client of clients) client.end();
    },
  };
}

function line(message: DaemonMessage): string {
  return `${JSON.stringify(message)}\n`;
}

/** Into the daemon's log file. */
function note(text: string): void {
  console.log(new Date().toISOString(), text);
}

await runDaemon(JSON.parse(process.argv[2] ?? '{}') as DaemonArguments);
