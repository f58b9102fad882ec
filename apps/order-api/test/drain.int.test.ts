import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { freePort, type ServiceProcess, startService, waitFor } from '@orders/dev-stack';
import { afterEach, describe, expect, it } from 'vitest';
import { type TestApi, useApi } from './api.ts';
import { orderBody } from './bodies.ts';

/** A connection on which a request is written piece by piece. */
async function rawConnection(port: number) {
  const socket: Socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString();
  });
  socket.on('error', () => undefined); // what the tests want to know is in `received` and `closed`
  const closed = once(socket, 'close');
  return { write: (text: string) => socket.write(text), received: () => received, closed };
}

function orderRequest(api: TestApi, key: string) {
  const body = JSON.stringify(orderBody());
  const head = [
    'POST /v1/orders HTTP/1.1',
    'host: localhost',
    `authorization: Bearer ${api.acme.key}`,
    `idempotency-key: ${key}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return { head: `${head.join('\r\n')}\r\n\r\n`, body };
}

const portOf = (address: string) => Number(new URL(address).port);
const problem = /content-type: application\/problem\+json/i;

describe('the limits of a connection', () => {
  const api = useApi();

  it('a request that does not arrive in time is answered 408 and its connection closed', async () => {
    const app = api().build({ options: { requestTimeoutMs: 300, requestTimeoutCheckIntervalMs: 50 } });
    const port = portOf(await app.http.listen({ port: 0, host: '127.0.0.1' }));
    const { head, body } = orderRequest(api(), 'slow');
    for (const sent of [head + body.slice(0, -1), head.slice(0, -2), '']) {
      const slow = await rawConnection(port);
      slow.write(sent);
      await slow.closed;
      expect(slow.received()).toMatch(/^HTTP\/1\.1 408 /);
      expect(slow.received()).toMatch(problem);
    }
    await app.http.close();
  });

  it('what is no HTTP, or has too large headers, is answered with a problem and cut', async () => {
    const app = api().build();
    const port = portOf(await app.http.listen({ port: 0, host: '127.0.0.1' }));
    for (const [sent, status] of [
      ['NONSENSE\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nhost: x\r\nx-large: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      ['GET / HTTP/1.1\r\nhost: x\r\nidempotency-key: a\0b\r\n\r\n', 400],
    ] as const) {
      const connection = await rawConnection(port);
      connection.write(sent);
      await connection.closed;
      expect(connection.received()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(connection.received()).toMatch(problem);
    }
    await app.http.close();
  });
});

describe('the drain', () => {
  const api = useApi();

  it('says not ready at once and still serves; then refuses, answers what is in flight, and cuts idle connections', async () => {
    const app = api().build({ options: { drainDelayMs: 700 } });
    const port = portOf(await app.http.listen({ port: 0, host: '127.0.0.1' }));
    const { head, body } = orderRequest(api(), 'drained');
    const inFlight = await rawConnection(port);
    inFlight.write(head + body.slice(0, 20));
    const starting = await rawConnection(port);
    starting.write(head.slice(0, 40));
    const silent = await rawConnection(port);
    // Node has seen all three.
    await expect.poll(() => connectionsOf(app.http.server)).toBe(3);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);

    const draining = app.drain();
    const ready = await app.http.inject('/readyz');
    expect(ready.statusCode).toBe(503);
    expect(ready.headers.connection).toBe('close');
    const served = await api().place(orderBody(), {}, app);
    expect(served.statusCode).toBe(201);
    expect(served.headers.connection).toBe('close');

    await expect.poll(() => app.http.server.listening, { timeout: 15_000 }).toBe(false);
    await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
    starting.write(head.slice(40) + body);
    await starting.closed;
    expect(starting.received()).toMatch(/^HTTP\/1\.1 503 /);
    expect(starting.received()).toMatch(problem);
    expect(starting.received()).toMatch(/retry-after: 1/i);

    inFlight.write(body.slice(20));
    await inFlight.closed;
    expect(inFlight.received()).toMatch(/^HTTP\/1\.1 201 /);
    expect(inFlight.received()).toMatch(/connection: close/i);
    await silent.closed;
    await draining;
  });

  const connectionsOf = (server: { getConnections(cb: (error: unknown, count: number) => void): void }) =>
    new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
});

describe('SIGTERM', () => {
  const api = useApi();
  let service: ServiceProcess | undefined;
  afterEach(() => service?.kill());

  async function start(env: Record<string, string> = {}) {
    const port = await freePort();
    const started = await startService({
      name: 'order-api',
      entry: new URL('../src/main.ts', import.meta.url),
      env: { DATABASE_URL: api().url, PORT: String(port), HOST: '127.0.0.1', ...env },
    });
    service = started;
    const url = `http://127.0.0.1:${port}`;
    await waitFor('the API to be ready', async () => (await fetch(`${url}/readyz`)).ok, {
      timeoutMs: 30_000,
    });
    return { service: started, url };
  }

  it('under load: every request that was accepted is answered and stored, the rest is refused, exit status 0', async () => {
    const { service, url } = await start({ DRAIN_DELAY_MS: '300' });
    const before = await api().counts();
    const accepted = new Set<string>();
    const errors: { afterTerm: boolean; what: string }[] = [];
    let terminating = false;
    const client = async (n: number) => {
      for (let i = 0, refused = false; !refused; i++) {
        const answer = await fetch(`${url}/v1/orders`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${api().acme.key}`,
            'content-type': 'application/json',
            'idempotency-key': `load-${n}-${i}`,
          },
          body: JSON.stringify(orderBody({ customerId: `load-${n}` })),
        }).catch((error: Error) => error);
        if (answer instanceof Error) {
          errors.push({ afterTerm: terminating, what: String(answer.cause ?? answer) });
          refused = true;
        } else if (answer.status === 201) {
          accepted.add(((await answer.json()) as { id: string }).id);
        } else {
          errors.push({ afterTerm: terminating, what: `${answer.status} ${await answer.text()}` });
        }
      }
    };
    const clients = Array.from({ length: 8 }, (_, n) => client(n));
    await expect.poll(() => accepted.size, { timeout: 30_000 }).toBeGreaterThan(50);
    terminating = true;
    const exit = await service.stop('SIGTERM');
    await Promise.all(clients);

    expect(exit).toEqual({ code: 0, signal: null });
    expect(errors.filter((error) => !error.afterTerm)).toEqual([]);
    const stored = await api().database.pool.query(
      `select o.id from orders o join outbox b on b.aggregateid = o.id::text where o.customer_id like 'load-%'`,
    );
    expect(new Set(stored.rows.map((row) => row.id))).toEqual(accepted);
    const after = await api().counts();
    expect(after.events - before.events).toBe(accepted.size);
    expect(after.keys - before.keys).toBe(accepted.size);
    expect(service.logs).toContainEqual(expect.objectContaining({ msg: 'stopped' }));
    expect(JSON.stringify(service.logs)).not.toContain(api().acme.key);
  });

  it('with connections that never sent a request: ends all the same', async () => {
    const { service, url } = await start({ DRAIN_DELAY_MS: '0' });
    await rawConnection(portOf(url));
    expect(await service.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('a service whose schema is missing does not start, and says why', async () => {
    const { pool } = api().database;
    const empty = new URL(api().url);
    const name = `${empty.pathname.slice(1)}_empty`.slice(-63);
    await pool.query(`create database "${name}"`);
    empty.pathname = `/${name}`;
    service = await startService({
      name: 'order-api',
      entry: new URL('../src/main.ts', import.meta.url),
      env: { DATABASE_URL: empty.href, PORT: '0', HOST: '127.0.0.1' },
    });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(JSON.stringify(service.logs)).toContain('ordersctl migrate');
    await pool.query(`drop database "${name}" with (force)`);
  });
});
