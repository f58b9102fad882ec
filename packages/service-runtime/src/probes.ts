import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { RuntimeError } from './errors.ts';
import type { Logger } from './logger.ts';

/** A readiness question that takes longer is answered with no: just before Kubernetes's own time-out of 1 s. */
const readyTimeoutMs = 900;

/** What is scraped; a `Registry` of `@prometheus-io/client` fits. */
export interface Metrics {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** The running probes. */
export interface Probes {
  /** The port in use, also when 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `/livez` (200 while the event loop turns) and `/readyz` (200 if `isReady` says so, else 503) for the
 * orchestrator, and `/metrics` if there are any. A rejection of `isReady` counts as no; each change from ready to not ready and back is logged.
 * @throws RuntimeError RUNTIME_PROBES_FAILED when the port cannot be listened on
 */
export async function startProbes(options: {
  port: number;
  /** All interfaces by default: the orchestrator asks from outside. */
  host?: string;
  isReady: () => Promise<boolean>;
  metrics?: Metrics;
  logger?: Logger;
}): Promise<Probes> {
  const { port, host, isReady, metrics, logger } = options;
  const readiness = createReadiness(isReady, logger);
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    answer(request, response, { readiness, metrics }).catch((error) => {
      logger?.error({ err: error }, 'the metrics failed');
      response.writeHead(500, { connection: 'close' }).end();
    });
  });
  const failed = (error: unknown) =>
    new RuntimeError('RUNTIME_PROBES_FAILED', `cannot serve the probes on port ${port}`, { cause: error });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(failed(error)));
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  });
  server.on('error', (error) => logger?.error({ err: error }, 'the probes failed'));

  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { readiness, metrics }: { readiness: () => Promise<boolean>; metrics: Metrics | undefined },
): Promise<void> {
  const send = (status: number, contentType: string, body: string) =>
    response
      .writeHead(status, { 'content-type': contentType, connection: 'close' })
      .end(request.method === 'HEAD' ? undefined : body);
  const reply = (status: number, text: string) =>
    send(status, 'application/json', JSON.stringify({ status: text }));
  if (request.method !== 'GET' && request.method !== 'HEAD') return void reply(405, 'method not allowed');
  const path = request.url?.split('?', 1)[0];
  if (path === '/livez') return void reply(200, 'live');
  if (path === '/metrics' && metrics !== undefined) {
    return void send(200, metrics.contentType, await metrics.metrics());
  }
  if (path !== '/readyz') return void reply(404, 'not found');
  const ready = await readiness();
  reply(ready ? 200 : 503, ready ? 'ready' : 'not ready');
}

function createReadiness(isReady: () => Promise<boolean>, logger: Logger | undefined) {
  let last: boolean | null = null;
  return async (): Promise<boolean> => {
    const { ready, reason } = await ask(isReady);
    if (ready !== last) {
      if (ready) logger?.info({}, 'ready');
      else if (last) logger?.warn({ ...(reason === undefined ? {} : { err: reason }) }, 'not ready any more');
      last = ready;
    }
    return ready;
  };
}

async function ask(isReady: () => Promise<boolean>): Promise<{ ready: boolean; reason?: unknown }> {
  const timer = new AbortController();
  const tooLate = sleep(readyTimeoutMs, { ready: false }, { signal: timer.signal, ref: false });
  try {
    return await Promise.race([isReady().then((ready) => ({ ready })), tooLate]);
  } catch (reason) {
    return { ready: false, reason };
  } finally {
    tooLate.catch(() => undefined); // it is the abortion below that rejects it
    timer.abort();
  }
}
