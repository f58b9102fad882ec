import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttpGateway } from '../src/index.ts';

const request = {
  idempotencyKey: '0190-a:1',
  reference: 'order-1',
  amountMinor: 500,
  currency: 'EUR',
  paymentMethod: 'tok_visa',
};
let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function gatewayThat(listener: RequestListener, errors: object[] = [], timeoutMs = 20_000) {
  server = createServer(listener);
  const listening = server;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/`;
  const quiet = () => undefined;
  const logger = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (fields: object) => void errors.push(fields),
  };
  return createHttpGateway({ url, timeoutMs, logger });
}
const answering =
  (status: number, body: string): RequestListener =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
const captureOf = (change: object = {}) =>
  JSON.stringify({
    status: 'captured',
    chargeId: 'ch_1',
    amountMinor: 500,
    currency: 'EUR',
    reference: request.reference,
    ...change,
  });

describe('the HTTP gateway', () => {
  it('sends key and body as the gateway wants them', async () => {
    const seen: unknown[] = [];
    const gateway = await gatewayThat(async (incoming, response) => {
      const chunks = await incoming.toArray();
      seen.push([incoming.method, incoming.url, incoming.headers['idempotency-key']]);
      if (chunks.length > 0) seen.push(JSON.parse(Buffer.concat(chunks).toString()));
      response.writeHead(200).end(captureOf());
    });
    await gateway.charge(request);
    await gateway.lookup(request);
    const { idempotencyKey, ...body } = request;
    expect(seen).toEqual([
      ['POST', '/charges', idempotencyKey],
      body,
      ['GET', '/charges/0190-a%3A1', undefined],
    ]);
  });

  it.each([
    [200, captureOf(), 'captured'],
    [200, captureOf({ chargeId: '' }), 'unknown'],
    [200, captureOf({ chargeId: 'ch_\u0000' }), 'unknown'],
    [200, captureOf({ chargeId: 'c'.repeat(256) }), 'unknown'],
    [200, captureOf({ chargeId: 1 }), 'unknown'],
    [200, captureOf({ amountMinor: 0.5 }), 'unknown'],
    [200, captureOf({ currency: 'E\u0000R' }), 'unknown'],
    [200, captureOf({ reference: 7 }), 'unknown'],
    [200, captureOf({ reference: 'r'.repeat(256) }), 'unknown'],
    [200, captureOf({ reference: 'order-2' }), 'unknown'],
    [200, captureOf({ more: 'x'.repeat(70_000) }), 'unknown'],
    [200, '<html>', 'unknown'],
    [402, '{"status":"declined","code":"c","kind":"soft"}', 'declined'],
    [402, '{"status":"declined","code":"c","kind":"other"}', 'unknown'],
    [402, '{"status":"declined","code":"\\u0000","kind":"soft"}', 'unknown'],
    [409, '{"error":"in_progress"}', 'unknown'],
    [422, '{"error":"key_reused"}', 'unknown'],
    [302, '', 'unknown'],
    [500, '{}', 'unknown'],
    [503, '', 'unknown'],
    [429, '{"error":"rate_limited"}', 'not-executed'],
    [400, '{}', 'not-executed'],
    [401, '{}', 'not-executed'],
  ])('answer %i %s means %s', async (status, body, outcome) => {
    const gateway = await gatewayThat(answering(status, body));
    expect(await gateway.charge(request)).toMatchObject({ outcome });
  });

  it('a refusal of the request itself is told as an error, without payment method', async () => {
    const errors: object[] = [];
    const gateway = await gatewayThat(answering(401, '{}'), errors);
    await gateway.charge(request);
    expect(errors).toEqual([{ orderId: 'order-1', idempotencyKey: '0190-a:1', status: 401 }]);
  });

  it('a charge of another order is never taken for this one’s, and is told as an error', async () => {
    const errors: object[] = [];
    const gateway = await gatewayThat(answering(200, captureOf({ reference: 'order-2' })), errors);
    const open = { outcome: 'unknown', reason: 'a charge of another reference' };
    expect(await gateway.charge(request)).toEqual(open);
    expect(await gateway.lookup(request)).toEqual(open);
    expect(errors).toHaveLength(2);
    expect(errors[0]).toEqual({ orderId: 'order-1', chargeId: 'ch_1', answered: 'order-2' });
  });

  it('a connection that is reset, cut short or silent is unknown', async () => {
    const listeners: RequestListener[] = [
      (incoming) => void incoming.socket.resetAndDestroy(),
      (incoming, response) => {
        response.writeHead(200, { 'content-length': '1000' }).write('{"status":');
        setTimeout(() => incoming.socket.destroy(), 20);
      },
      () => undefined,
    ];
    for (const listener of listeners) {
      const gateway = await gatewayThat(listener, [], 500);
      expect(await gateway.charge(request)).toMatchObject({ outcome: 'unknown' });
      expect(await gateway.lookup(request)).toMatchObject({ outcome: 'unknown' });
      server?.closeAllConnections();
      server?.close();
    }
  });

  it('only the gateway’s own words mean "not found"', async () => {
    expect(await (await gatewayThat(answering(404, '{"error":"not_found"}'))).lookup(request)).toEqual({
      outcome: 'not-found',
    });
    server?.close();
    expect(await (await gatewayThat(answering(404, 'nginx'))).lookup(request)).toMatchObject({
      outcome: 'unknown',
    });
  });

  it('no connection, or no such host, is not executed', async () => {
    const gateway = await gatewayThat(answering(200, '{}'));
    await new Promise((resolve) => server?.close(resolve));
    expect(await gateway.charge(request)).toMatchObject({ outcome: 'not-executed', reason: 'ECONNREFUSED' });
    const nowhere = createHttpGateway({ url: 'http://gateway.invalid', timeoutMs: 5_000 });
    expect(await nowhere.charge(request)).toMatchObject({ outcome: 'not-executed' });
  });
});
