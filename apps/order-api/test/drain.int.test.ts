import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
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

  it('a request without Host is refused with a problem that says so; an unknown Expect is passed over', async () => {
    const app = api().build();
    const port = portOf(await app.http.listen({ port: 0, host: '127.0.0.1' }));
    const answerTo = async (headers: string) => {
      const connection = await rawConnection(port);
      connection.write(`GET /livez HTTP/1.1\r\n${headers}connection: close\r\n\r\n`);
      await connection.closed;
      return connection.received();
    };
    const refused = await answerTo('');
    expect(refused).toMatch(/^HTTP\/1\.1 400 /);
    expect(refused).toMatch(problem);
    expect(refused).toContain('{"in":"header","field":"host","message":"is missing"}');
    expect(await answerTo('host: x\r\nexpect: nonsense\r\n')).toMatch(/^HTTP\/1\.1 200 /);
    await app.http.close();
  });

  it('a header given twice is refused by its name: Node would take the first value, and others the last', async () => {
    const app = api().build();
    const port = portOf(await app.http.listen({ port: 0, host: '127.0.0.1' }));
    const before = await api().counts();
    for (const [name, value] of [
      ['Authorization', 'Bearer nobody'],
      ['content-type', 'text/plain'],
      ['idempotency-key', 'other'],
      ['host', 'elsewhere'],
    ]) {
      const { head, body } = orderRequest(api(), 'twice');
      const connection = await rawConnection(port);
      connection.write(`${head.trimEnd()}\r\n${name}: ${value}\r\nconnection: close\r\n\r\n${body}`);
      await connection.closed;
      expect(connection.received()).toMatch(/^HTTP\/1\.1 400 /);
      expect(connection.received()).toMatch(problem);
      expect(connection.received()).toContain(
        `{"in":"header","field":"${name?.toLowerCase()}","message":"is given more than once"}`,
      );
    }
    expect(await api().counts()).toEqual(before);
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
