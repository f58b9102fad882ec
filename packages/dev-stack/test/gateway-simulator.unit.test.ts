import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type ChargeMode,
  type GatewaySimulator,
  type GatewaySimulatorOptions,
  startGatewaySimulator,
} from '../src/gateway-simulator/index.ts';

const body = { reference: 'order-1', amountMinor: 2500, currency: 'EUR', paymentMethod: 'tok_visa' };
const patient = { timeout: 15_000, interval: 20 };
const normal = { mode: 'normal', latencyMs: 0, successRate: 1 } as const;

async function post(gateway: GatewaySimulator, key: string | undefined, sent: unknown, signal?: AbortSignal) {
  const response = await fetch(`${gateway.url}/charges`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    body: JSON.stringify(sent),
    signal: signal ?? null,
  });
  const replayed = response.headers.get('idempotent-replayed');
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    replayed: replayed === 'true',
  };
}

async function lookUp(gateway: GatewaySimulator, key: string) {
  const response = await fetch(`${gateway.url}/charges/${key}`);
  return { status: response.status, body: await response.json() };
}

const entriesOf = async (gateway: GatewaySimulator, key: string) =>
  (await gateway.ledger()).filter((entry) => entry.key === key);

describe('one gateway', () => {
  let gateway: GatewaySimulator;
  let key = '';
  let keys = 0;
  const charge = (change: Partial<typeof body> = {}, signal?: AbortSignal) =>
    post(gateway, key, { ...body, ...change }, signal);
  beforeAll(async () => {
    gateway = await startGatewaySimulator();
  });
  afterAll(() => gateway.stop());
  beforeEach(async () => {
    key = `key:${++keys}`;
    await gateway.control(normal);
  });

  test('rate and latency can be changed while it runs', async () => {
    await gateway.control({ successRate: 0, latencyMs: 0 });
    expect((await charge()).status).toBe(402);
    await gateway.control({ successRate: 1 });
    key = 'another';
    expect((await charge()).status).toBe(200);
    const changed = { mode: 'normal', latencyMs: 0, successRate: 1, inFlight: 0 };
    expect(await (await fetch(`${gateway.url}/control`)).json()).toEqual(changed);
  });

  test('a capture is answered with its charge, and stands in the ledger', async () => {
    const answer = await charge();
    const { reference, amountMinor, currency } = body;
    const captured = {
      status: 'captured',
      chargeId: expect.stringMatching(/^ch_/),
      amountMinor,
      currency,
      reference,
    };
    expect(answer).toEqual({ status: 200, body: captured, replayed: false });
    expect(await entriesOf(gateway, key)).toEqual([
      {
        ...body,
        at: expect.any(String),
        key,
        outcome: 'captured',
        chargeId: answer.body.chargeId,
      },
    ]);
    expect(await lookUp(gateway, key)).toEqual({ status: 200, body: answer.body });
  });

  test('a decline says why; the soft and the hard one', async () => {
    expect(await charge({ paymentMethod: 'tok_sim_soft_decline' })).toEqual({
      status: 402,
      body: { status: 'declined', code: 'insufficient_funds', kind: 'soft' },
      replayed: false,
    });
    expect(await entriesOf(gateway, key)).toMatchObject([
      { outcome: 'declined', code: 'insufficient_funds', reference: body.reference, amountMinor: 2500 },
    ]);
    key = `${key}-hard`;
    const hard = await charge({ paymentMethod: 'tok_sim_hard_decline' });
    expect(hard.body).toEqual({ status: 'declined', code: 'stolen_card', kind: 'hard' });
    expect(await lookUp(gateway, key)).toEqual({ status: 402, body: hard.body });
  });

  test('the same key again gets the same answer, and nothing happens a second time', async () => {
    const first = await charge();
    expect(await charge()).toEqual({ ...first, replayed: true });
    await gateway.control({ successRate: 0 });
    expect(await charge()).toEqual({ ...first, replayed: true });
    expect(await entriesOf(gateway, key)).toHaveLength(1);
  });

  test.each([
    { reference: 'order-2' },
    { amountMinor: 2501 },
    { currency: 'USD' },
    { paymentMethod: 'tok_x' },
  ])('the same key with another body (%o) is refused', async (change) => {
    await charge();
    expect(await charge(change)).toMatchObject({ status: 422, body: { error: 'key_reused' } });
    expect(await entriesOf(gateway, key)).toHaveLength(1);
  });

  test('while a key is in flight, the same request is told so, another one refused, and a look-up finds nothing', async () => {
    await gateway.control({ latencyMs: 1_500 });
    const first = charge();
    await expect.poll(() => gateway.inFlight(), patient).toBe(1);
    expect(await charge()).toMatchObject({ status: 409, body: { error: 'in_progress' } });
    expect(await charge({ amountMinor: 1 })).toMatchObject({ status: 422 });
    expect(await lookUp(gateway, key)).toEqual({ status: 404, body: { error: 'not_found' } });
    expect((await first).status).toBe(200);
    expect(await gateway.inFlight()).toBe(0);
    expect(await entriesOf(gateway, key)).toHaveLength(1);
  });

  test('a caller that is gone while it waits is charged all the same, by the settings of its arrival', async () => {
    await gateway.control({ latencyMs: 1_500 });
    const caller = new AbortController();
    const call = charge({}, caller.signal);
    await expect.poll(() => gateway.inFlight(), patient).toBe(1);
    await gateway.control({ mode: 'decline-hard', successRate: 0 });
    caller.abort();
    await expect(call).rejects.toThrow();
    await expect.poll(() => entriesOf(gateway, key), patient).toMatchObject([{ outcome: 'captured' }]);
    expect(await charge()).toMatchObject({ status: 200, replayed: true });
  });

  test('timeout-after-capture: it captures and never answers; a look-up and the same key find the charge', async () => {
    await gateway.control({ mode: 'timeout-after-capture' });
    const caller = new AbortController();
    const call = charge({}, caller.signal);
    await expect.poll(() => entriesOf(gateway, key), patient).toHaveLength(1);
    expect(await Promise.race([call, lookUp(gateway, key)])).toMatchObject({ body: { status: 'captured' } });
    caller.abort();
    await expect(call).rejects.toThrow();
    expect(await charge()).toMatchObject({ status: 200, replayed: true, body: { status: 'captured' } });
    expect(await entriesOf(gateway, key)).toHaveLength(1);
  });

  test('error-after-capture: it captures and answers 500; the same key finds the charge', async () => {
    await gateway.control({ mode: 'error-after-capture' });
    expect((await charge()).status).toBe(500);
    expect(await charge()).toMatchObject({ status: 200, replayed: true });
    expect(await entriesOf(gateway, key)).toHaveLength(1);
  });

  test.each<[ChargeMode, number]>([
    ['error-before', 500],
    ['rate-limited', 429],
  ])('%s: %i, and nothing was executed', async (mode, status) => {
    await gateway.control({ mode });
    expect((await charge()).status).toBe(status);
    expect(await entriesOf(gateway, key)).toEqual([]);
    await gateway.control(normal);
    expect(await charge()).toMatchObject({ status: 200, replayed: false });
  });

  test.each<[ChargeMode, string]>([
    ['decline-soft', 'insufficient_funds'],
    ['decline-hard', 'stolen_card'],
  ])(
    '%s: declined with %s, whatever the rate; but a payment method that decides goes first',
    async (mode, code) => {
      await gateway.control({ mode });
      expect(await charge()).toMatchObject({ status: 402, body: { code } });
      key = `${key}-approved`;
      expect(await charge({ paymentMethod: 'tok_sim_approve' })).toMatchObject({ status: 200 });
    },
  );

  test.each([
    ['no key', undefined, body],
    ['a missing field', 'k', { ...body, reference: undefined }],
    ['an unknown field', 'k', { ...body, tip: 1 }],
    ['an amount as text', 'k', { ...body, amountMinor: '2500' }],
    ['a fraction', 'k', { ...body, amountMinor: 0.5 }],
    ['nothing to pay', 'k', { ...body, amountMinor: 0 }],
  ])('a request that makes no sense is refused: %s', async (_, someKey, sent) => {
    expect(await post(gateway, someKey, sent)).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    });
    expect(await entriesOf(gateway, 'k')).toEqual([]);
  });

  test('a setting that makes no sense is refused, and changes nothing', async () => {
    await expect(gateway.control({ successRate: 1.5 })).rejects.toThrow('400');
    await expect(gateway.control({ mode: 'odd' as 'normal' })).rejects.toThrow('400');
    expect(await gateway.control({})).toMatchObject(normal);
  });
});

describe('a gateway that is started anew', () => {
  let scratch = '';
  const running: GatewaySimulator[] = [];
  const start = async (options: GatewaySimulatorOptions) => {
    const gateway = await startGatewaySimulator({ successRate: 1, latencyMs: 0, ...options });
    running.push(gateway);
    return gateway;
  };
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'orders-gateway-test-'));
  });
  afterEach(() => Promise.all(running.splice(0).map((gateway) => gateway.stop())));
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  test('without options it captures 70 % and takes 500 ms', async () => {
    const gateway = await startGatewaySimulator();
    running.push(gateway);
    const settings = { mode: 'normal', latencyMs: 500, successRate: 0.7, inFlight: 0 };
    expect(await gateway.control({})).toEqual(settings);
  });

  test('on the same ledger it answers every key as before, even when it was killed right after its answer', async () => {
    const ledgerFile = join(scratch, 'killed.jsonl');
    const first = await start({ ledgerFile });
    const declined = await post(first, 'b', { ...body, paymentMethod: 'tok_sim_soft_decline' });
    const captured = await post(first, 'a', body);
    await first.process.kill();

    const second = await start({ ledgerFile, port: Number(new URL(first.url).port) });
    expect(second.url).toBe(first.url);
    expect(await post(second, 'a', body)).toEqual({ ...captured, replayed: true });
    expect(await post(second, 'b', { ...body, paymentMethod: 'tok_sim_soft_decline' })).toEqual({
      ...declined,
      replayed: true,
    });
    expect(await lookUp(second, 'a')).toEqual({ status: 200, body: captured.body });
    expect((await post(second, 'a', { ...body, amountMinor: 1 })).status).toBe(422);
    expect((await second.ledger()).map((entry) => entry.key)).toEqual(['b', 'a']);
  });

  test('half a line of a write that was cut off is no charge, and the next one stands on a line of its own', async () => {
    const ledgerFile = join(scratch, 'torn.jsonl');
    const first = await start({ ledgerFile });
    await post(first, 'a', body);
    await first.process.kill();
    await appendFile(ledgerFile, '{"key":"torn","reference":"öre');
    expect((await first.ledger()).map((entry) => entry.key)).toEqual(['a']);

    const second = await start({ ledgerFile });
    expect((await lookUp(second, 'torn')).status).toBe(404);
    await post(second, 'b', body);
    expect((await second.ledger()).map((entry) => entry.key)).toEqual(['a', 'b']);
  });

  test('the outcomes drawn are those of seed and key: about the rate, the same in every run', async () => {
    const keys = Array.from({ length: 200 }, (_, n) => `payment-${n}:1`);
    const outcomesOf = async (seed: number, count: number) => {
      const gateway = await start({ seed, successRate: 0.7 });
      const answers = [];
      for (const key of keys.slice(0, count)) answers.push((await post(gateway, key, body)).status);
      return answers;
    };
    const [one, same, other] = await Promise.all([outcomesOf(7, 200), outcomesOf(7, 50), outcomesOf(8, 50)]);
    const captured = one.filter((status) => status === 200).length;
    expect(one.filter((status) => status === 402)).toHaveLength(200 - captured);
    expect(captured).toBe(146); // of 200, drawn by seed 7
    expect(same).toEqual(one.slice(0, 50));
    expect(other).not.toEqual(same);
  });

  test('removes the ledger that a killed starter left behind, and no other', async () => {
    const gone = spawnSync(process.execPath, ['--version']).pid;
    const left = await mkdtemp(join(tmpdir(), `orders-gateway-of-${gone}-`));
    const kept = await mkdtemp(join(tmpdir(), `orders-gateway-of-${process.ppid}-`));
    try {
      await start({});
      expect([existsSync(left), existsSync(kept)]).toEqual([false, true]);
    } finally {
      await Promise.all([left, kept].map((path) => rm(path, { recursive: true, force: true })));
    }
  });

  test('a flag that makes no sense is told at the start', async () => {
    await expect(startGatewaySimulator({ successRate: 2 })).rejects.toThrow('--success-rate=2');
  });
});
