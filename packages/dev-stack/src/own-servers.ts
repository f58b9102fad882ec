import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerCertificate } from './certificates.ts';
import { type SecureListener, startEmbeddedKafka } from './embedded-kafka.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { findJava, kafkaCacheDir } from './kafka-jars.ts';
import { type OrphanWatch, startOrphanWatch } from './orphan-watch.ts';
import { ownKafkaSettings } from './settings.ts';
import { hasEnded, type StackHost } from './stack-host.ts';

export { certify, type ServerCertificate } from './certificates.ts';
export type { SecureListener } from './embedded-kafka.ts';

/** A server that nobody else uses, so that it may be killed and started again. */
export interface OwnServer {
  /** Of the process that was started last; PostgreSQL's is the parent of its other processes. */
  pid(): number;
  /** Ends it as a crash would. Its data stays. */
  kill(): Promise<void>;
  /** Ends it in order, by SIGTERM. Its data stays. */
  stop(): Promise<void>;
  /** Starts it again, with its data, at its address; resolves when it answers. */
  start(): Promise<void>;
  /** Ends it for good and removes its data. */
  close(): Promise<void>;
}

/**
 * @param o `binDir` of an installed PostgreSQL, else the embedded one; with a `certificate` it takes connections with
 * TLS and SCRAM only, and the URL is still to be given its `sslmode`
 */
export async function startOwnPostgres(
  o: { binDir?: string; certificate?: ServerCertificate } = {},
): Promise<OwnServer & { url: string }> {
  const host = ownHost('postgres');
  const started = await startEmbeddedPostgres(host, o.binDir, o.certificate);
  // The immediate shutdown is PostgreSQL's own way to crash: it leaves no shared memory behind.
  return { ...ownServer(host, started.server, started.restart, 'SIGQUIT'), url: started.url };
}

/** One Kafka node; needs Java. */
export async function startOwnKafka(secure?: SecureListener): Promise<OwnServer & { brokers: string[] }> {
  const host = ownHost('kafka');
  const started = await startEmbeddedKafka(host, { secure, more: ownKafkaSettings });
  return { ...ownServer(host, started.broker, started.restart, 'SIGKILL'), brokers: started.brokers };
}

/** What runs a class of the Kafka that `startOwnKafka` has fetched, such as a tool of its own. */
export function kafkaCommand(
  mainClass: string,
  args: readonly string[],
): { command: string; args: string[] } {
  const command = findJava()?.command ?? 'java';
  return { command, args: ['-cp', join(kafkaCacheDir(), 'libs', '*'), mainClass, ...args] };
}

/** Versions of what `startOwnKafka` runs. */
export function installedKafka(): { kafka: string; java: string } {
  const jar = readdirSync(join(kafkaCacheDir(), 'libs')).find((name) => name.startsWith('kafka_'));
  return {
    kafka: /-([\d.]+)\.jar$/.exec(jar ?? '')?.[1] ?? 'unknown',
    java: findJava()?.version ?? 'unknown',
  };
}

interface OwnHost extends StackHost {
  readonly dir: string;
  readonly orphans: OrphanWatch;
}

function ownHost(name: string): OwnHost {
  const dir = mkdtempSync(join(tmpdir(), `orders-own-${name}-`));
  chmodSync(dir, 0o711); // PostgreSQL runs as another user when we are root
  const orphans = startOrphanWatch(dir);
  return {
    dir,
    orphans,
    paths: {
      dir,
      socket: join(dir, 'socket'),
      lock: join(dir, 'lock'),
      state: join(dir, 'state.json'),
      data: join(dir, 'data'),
      daemonLog: join(dir, 'daemon.log'),
      kafkaLog: join(dir, 'kafka.log'),
      postgresLog: join(dir, 'postgres.log'),
    },
    log: () => undefined,
    track(_, child, endSignal = 'SIGKILL') {
      if (child.pid !== undefined) orphans.watch(child.pid, endSignal);
    },
  };
}

function ownServer(
  host: OwnHost,
  first: ChildProcess,
  restart: () => Promise<ChildProcess>,
  killSignal: NodeJS.Signals,
): OwnServer {
  let running = first;
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (hasEnded(running)) return;
    const ended = once(running, 'exit');
    running.kill(signal);
    await ended;
  }
  return {
    pid: () => running.pid as number,
    kill: () => end(killSignal),
    stop: () => end('SIGTERM'),
    async start() {
      running = await restart();
    },
    async close() {
      await end(killSignal);
      rmSync(host.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
      host.orphans.end();
    },
  };
}
