import { once } from 'node:events';
import { get } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Times of a cluster, in milliseconds. */
export interface ServiceTimes {
  /** How often a replica's `/readyz` is asked, as by a readinessProbe with Kubernetes' own limits. */
  readonly readinessPeriodMs: number;
  /** From a replica's termination until no new connection is led to it. */
  readonly propagationMs: number;
}

/** What stands between clients and replicas in a cluster. */
export interface KubernetesService {
  readonly url: string;
  /** Adds a replica; resolves when it has said that it is ready. */
  add(url: string): Promise<void>;
  /** A replica is told to end at this moment; it leaves the endpoints a while later, as everywhere in a cluster. */
  terminating(url: string): void;
  close(): Promise<void>;
}

/** A readinessProbe's `timeoutSeconds` and `failureThreshold`, unless told: one slow answer takes nobody out. */
const probe = { timeoutMs: 1_000, failuresMax: 3 };

interface Endpoint {
  readonly url: URL;
  ready: boolean;
  terminating: boolean;
  leave(): void;
}

/**
 * A stand-in for a Kubernetes Service with kube-proxy. It balances connections, not requests: a new one goes to the
 * next replica that was ready when it was last asked, and then stays there, also when that replica is terminating. While
 * one is still listed that is terminating, all new ones go there: the worst that a cluster may do.
 * A replica that refuses a connection refuses it to the client; nothing is tried a second time.
 */
export async function startKubernetesService(times: ServiceTimes): Promise<KubernetesService> {
  const endpoints = new Map<string, Endpoint>();
  const sockets = new Set<Socket>();
  let turn = 0;

  const server = createServer({ noDelay: true }, (client) => {
    const ready = [...endpoints.values()].filter((endpoint) => endpoint.ready);
    const chosen = ready.find((endpoint) => endpoint.terminating) ?? ready[turn++ % ready.length];
    if (chosen === undefined) return void client.destroy();
    const replica = connect({ host: chosen.url.hostname, port: Number(chosen.url.port), noDelay: true });
    lead(client, replica);
    for (const socket of [client, replica]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  async function add(url: string): Promise<void> {
    const firstReady = Promise.withResolvers<void>();
    let failures = 0;
    const ask = async () => {
      const ready = await isReady(url, probe.timeoutMs);
      if (endpoint.terminating) return; // nobody goes by its word any more
      failures = ready ? 0 : failures + 1;
      endpoint.ready = ready || (endpoint.ready && failures < probe.failuresMax);
      if (endpoint.ready) firstReady.resolve();
    };
    const asking = setInterval(() => void ask(), times.readinessPeriodMs);
    const leave = () => {
      clearInterval(asking);
      endpoints.delete(url);
    };
    const endpoint: Endpoint = { url: new URL(url), ready: false, terminating: false, leave };
    endpoints.set(url, endpoint);
    void ask();
    await firstReady.promise;
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add,
    terminating: (url) => {
      const endpoint = endpoints.get(url);
      if (endpoint === undefined) return;
      endpoint.terminating = true;
      setTimeout(endpoint.leave, times.propagationMs);
    },
    async close() {
      for (const endpoint of endpoints.values()) endpoint.leave();
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** Two ends of one connection: bytes, ends and resets of the one are those of the other. */
function lead(client: Socket, replica: Socket): void {
  client.pipe(replica);
  replica.pipe(client);
  client.once('error', () => replica.resetAndDestroy());
  replica.once('error', () => client.resetAndDestroy());
}

/** A kubelet asks on a connection of its own. */
function isReady(url: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = get(`${url}/readyz`, { agent: false, timeout: timeoutMs }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(false));
  });
}
