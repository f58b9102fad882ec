import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type ServiceProcess, startService, waitFor } from '@orders/dev-stack';
import { killAtHook, serviceMain } from './workspace.ts';

/** What a service is started with beside its ordinary environment. */
export interface ServiceOptions {
  env?: Record<string, string>;
  /** The process kills itself (SIGKILL) when it reaches this crash point. */
  killAt?: string;
  /** The checkout whose app is started, with a `/` at its end; this one unless told. */
  checkout?: URL;
}

/** A service of a running system. */
export interface SystemService extends ServiceProcess {
  /** Where it answers its probes; the API answers everything there. */
  readonly url: string;
  /** At which crash point it killed itself, if it did. */
  reachedCrashPoint(): Promise<string | null>;
}

/** Starts services as processes, all with this environment, and ends those that still run. */
export async function createServices(environment: Record<string, string>) {
  const scratch = await mkdtemp(join(tmpdir(), 'orders-system-'));
  const running = new Set<ServiceProcess>();
  let starts = 0;

  /** Resolves when the service says it is ready, or has killed itself at its crash point. */
  async function start(
    app: string,
    env: Record<string, string>,
    options: ServiceOptions,
  ): Promise<SystemService> {
    const settings = { ...environment, ...env, ...options.env };
    const probePort = settings.PORT ?? String(await freePort());
    const url = `http://127.0.0.1:${probePort}`;
    const killFile = join(scratch, `kill-${++starts}`);
    const service = await startService({
      name: app,
      entry: serviceMain(app, options.checkout),
      env: {
        ...settings,
        PROBE_PORT: probePort,
        ...(options.killAt === undefined ? {} : { KILL_AT: options.killAt, KILL_AT_FILE: killFile }),
      },
      imports: options.killAt === undefined ? [] : [killAtHook],
    });
    running.add(service);
    void service.exited.then(() => running.delete(service));
    await waitUntilReady(service, `${url}/readyz`);
    const reachedCrashPoint = () => readFile(killFile, 'utf8').then((text) => text.trim(), absent);
    return Object.assign(service, { url, reachedCrashPoint });
  }

  async function close(): Promise<void> {
    await Promise.all([...running].map((service) => service.stop()));
    await rm(scratch, { recursive: true, force: true });
  }

  return { start, close };
}

const absent = (error: NodeJS.ErrnoException): null => {
  if (error.code === 'ENOENT') return null;
  throw error;
};

async function waitUntilReady(service: ServiceProcess, url: string): Promise<void> {
  let exit: { code: number | null; signal: string | null } | null = null;
  void service.exited.then((how) => {
    exit = how;
  });
  await waitFor(`${service.name} to be ready`, async () => {
    if (exit !== null) return true;
    return (await fetch(url)).ok;
  });
  const { code } = (exit ?? { code: null }) as { code: number | null };
  if (code === null) return; // it runs, or has killed itself as told
  const lines = service.logs.slice(-10).map((line) => JSON.stringify(line));
  throw new Error(`${service.name} ended with status ${code} before it was ready:\n${lines.join('\n')}`);
}
