import { freePort, type GatewaySimulator, startGatewaySimulator } from '@orders/dev-stack';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createHttpGateway, createPaymentExecutor, type Gateway } from '../src/index.ts';
import {
  callTimeoutMs,
  captured,
  fast,
  lifecycle,
  scriptedGateway,
  softDecline,
  useSystem,
} from './system.ts';

const system = useSystem();
let simulator: GatewaySimulator;
let gateway: Gateway;
beforeAll(async () => {
  simulator = await startGatewaySimulator({ successRate: 1, latencyMs: 10 });
  gateway = createHttpGateway({ url: simulator.url, timeoutMs: callTimeoutMs });
});
afterAll(() => simulator?.stop());
beforeEach(async () => {
  await system().clear();
  await simulator.control({ mode: 'normal', latencyMs: 10 });
  // Calls that their callers gave up on are still being worked on.
  await expect.poll(() => simulator.inFlight(), { timeout: 10_000 }).toBe(0);
});

/** What the gateway's own books say of an order. */
const ledger = async (orderId: string) =>
  (await simulator.ledger()).filter((entry) => entry.reference === orderId).map((entry) => entry.outcome);
const becomes = (orderId: string, state: string) =>
  expect.poll(() => system().stateOf(orderId), { timeout: 15_000, interval: 20 }).toBe(state);

describe('Test 2: Idempotency of charging', () => {
  it('two executors on the same payments: every order is PAID once, charged once', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const ids = await Promise.all(Array.from({ length: 30 }, () => dueOrder()));
    const executors = [startExecutor(gateway), startExecutor(gateway)];
    for (const id of ids) await becomes(id, 'PAID');
    await Promise.all(executors.map((executor) => executor.stop()));
    for (const id of ids) {
      expect(await ledger(id)).toEqual(['captured']);
      const { order, attempts } = await stored(id);
      expect(order.version).toBe(3);
      expect(attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED', permits: 1 }]);
    }
  });

  it('a worker that stalls beyond its lease: the next one asks with the same key, one charge', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const stalled = Promise.withResolvers<void>();
    const stalling: Gateway = {
      ...gateway,
      charge: async (request) => {
        await stalled.promise;
        return gateway.charge(request);
      },
    };
    const orderId = await dueOrder();
    const first = startExecutor(stalling);
    await expect.poll(async () => (await stored(orderId)).attempts.length, { timeout: 10_000 }).toBe(1);
    const stopping = first.stop();
    const second = startExecutor(gateway);
    await expect.poll(() => ledger(orderId), { timeout: 15_000, interval: 20 }).toEqual(['captured']);
    stalled.resolve();
    await stopping;
    expect(await ledger(orderId)).toEqual(['captured']);
    await becomes(orderId, 'PAID');
    await second.stop();
    const { order, attempts, refunds } = await stored(orderId);
    expect(order).toMatchObject({ state: 'PAID', version: 3 });
    expect(attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED', permits: 2 }]);
    expect(refunds).toEqual([]);
  });
});

describe('an unknown outcome', () => {
  it.each(['timeout-after-capture', 'error-after-capture'] as const)(
    '%s: UNKNOWN, asked about, PAID, one charge',
    async (mode) => {
      const { dueOrder, startExecutor, stored } = system();
      await simulator.control({ mode });
      const orderId = await dueOrder();
      const executor = startExecutor(gateway);
      await becomes(orderId, 'PAID');
      await executor.stop();
      expect(await ledger(orderId)).toEqual(['captured']);
      const { attempts, events } = await stored(orderId);
      expect(attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED', permits: 1 }]);
      expect(events.map((event) => event.type)).not.toContain('order.failed.v1');
    },
  );

  it('not found: the same key is sent again, for the first request may still be under way', async () => {
    const { dueOrder, startExecutor, stored } = system();
    await simulator.control({ latencyMs: 10 * callTimeoutMs });
    const orderId = await dueOrder();
    const executor = startExecutor(gateway);
    await expect.poll(async () => (await stored(orderId)).attempts[0]?.permits).toBeGreaterThan(1);
    await becomes(orderId, 'PAID');
    await executor.stop();
    expect(await ledger(orderId)).toEqual(['captured']);
    expect((await stored(orderId)).attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED' }]);
  });

  it('a key that the gateway has forgotten is never sent again: at the deadline the order is in REVIEW', async () => {
    const { dueOrder, startExecutor, stored } = system();
    // Honours a key for its lifetime; a request that comes later is a new one, and captures again.
    const keyLifetimeMs = 1_500;
    const captures: number[] = [];
    const forgetful = scriptedGateway({
      charge: () => {
        const now = performance.now();
        if (now - (captures.at(-1) ?? Number.NEGATIVE_INFINITY) > keyLifetimeMs) captures.push(now);
        return { outcome: 'unknown', reason: 'no answer' };
      },
    });
    const orderId = await dueOrder();
    const options = { keyLifetimeMs, keyLifetimeMarginMs: 500, paymentDeadlineMs: 2_300 };
    const executor = startExecutor(forgetful, { options });
    await becomes(orderId, 'REVIEW');
    await executor.stop();
    expect(captures).toHaveLength(1);
    expect(forgetful.asked.length).toBeGreaterThan(forgetful.charged.length);
    expect(await stored(orderId)).toMatchObject({
      payment: { state: 'REVIEW' },
      attempts: [{ n: 1, state: 'UNKNOWN' }],
      breaks: [{ kind: 'outcome_unknown', closed_at: null }],
      deadLetters: [],
    });
  });

  it('a resend that is declined by a gateway that forgets declines is not believed, and charges no second key', async () => {
    const { dueOrder, startExecutor, stored } = system();
    // The first request is still under way when its resend is declined; then it captures.
    const keys = new Set<string>();
    const forgetful = scriptedGateway({
      replaysDeclines: false,
      charge: ({ idempotencyKey }, nth) => {
        keys.add(idempotencyKey);
        if (nth === 1) return { outcome: 'unknown', reason: 'no answer' };
        return nth === 2 ? softDecline : captured('ch_first');
      },
      lookup: (_, nth) => (nth >= 4 ? captured('ch_first') : { outcome: 'not-found' }),
    });
    const orderId = await dueOrder();
    const executor = startExecutor(forgetful);
    await becomes(orderId, 'PAID');
    await executor.stop();
    expect(keys.size).toBe(1);
    expect((await stored(orderId)).attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED' }]);
  });
});

describe('certainly not executed', () => {
  it('rate limited: same attempt, same key, none spent; then it goes through', async () => {
    const { dueOrder, startExecutor, stored } = system();
    await simulator.control({ mode: 'rate-limited' });
    const orderId = await dueOrder();
    const executor = startExecutor(gateway);
    await expect
      .poll(async () => (await stored(orderId)).attempts[0]?.permits, { timeout: 10_000 })
      .toBeGreaterThan(4);
    expect(await ledger(orderId)).toEqual([]);
    await simulator.control({ mode: 'normal' });
    await becomes(orderId, 'PAID');
    await executor.stop();
    expect(await ledger(orderId)).toEqual(['captured']);
    expect((await stored(orderId)).attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED' }]);
  });

  it('a gateway that is down: the payment waits for it, and goes to REVIEW, not FAILED, at its deadline', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const down = createHttpGateway({ url: `http://127.0.0.1:${await freePort()}`, timeoutMs: callTimeoutMs });
    const orderId = await dueOrder();
    const executor = startExecutor(down, { options: { paymentDeadlineMs: 300 } });
    await becomes(orderId, 'REVIEW');
    await executor.stop();
    const { attempts, breaks, deadLetters } = await stored(orderId);
    expect(attempts).toMatchObject([{ n: 1, state: 'SENT' }]);
    expect({ breaks, deadLetters }).toMatchObject({ breaks: [{ kind: 'outcome_unknown' }], deadLetters: [] });
  });

  it('a call that would start after the lease ran out is not made', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const orderId = await dueOrder();
    const log: object[] = [];
    const keep = (fields: object) => void log.push(fields);
    let claims = 0;
    const executor = startExecutor(gateway, {
      logger: { ...silent, info: keep, warn: keep },
      crashPoint: (point) => {
        // The process is stopped between claim and call, for longer than its lease.
        if (point === 'payments.claim.after-commit' && ++claims === 1)
          stopTheWorld((fast.leaseDurationMs ?? 0) + 50);
      },
    });
    await becomes(orderId, 'PAID');
    await executor.stop();
    expect(log).toContainEqual(expect.objectContaining({ orderId, reason: 'too late to start the call' }));
    expect(await ledger(orderId)).toEqual(['captured']);
    expect((await stored(orderId)).attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED' }]);
  });
});

describe('Test 6: Dead letters of payments', () => {
  it('three soft declines: three attempts, one dead letter with its reason, the order FAILED, nothing charged', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const orderId = await dueOrder({ paymentMethod: 'tok_sim_soft_decline' });
    const executor = startExecutor(gateway);
    await becomes(orderId, 'FAILED');
    await executor.stop();
    const { order, payment, attempts, events, deadLetters } = await stored(orderId);
    expect(order).toMatchObject({ version: 3, failure_code: 'insufficient_funds', failure_attempts: 3 });
    expect(payment?.state).toBe('DECLINED');
    expect(attempts.map(({ n, state, permits }) => [n, state, permits])).toEqual([
      [1, 'DECLINED', 1],
      [2, 'DECLINED', 1],
      [3, 'DECLINED', 1],
    ]);
    expect(deadLetters).toMatchObject([
      {
        worker_id: 'payment-executor',
        event_id: events[0]?.event_id,
        reason: 'payment declined 3 times, last with insufficient_funds',
        attempts: 3,
        offset: null,
      },
    ]);
    expect(await ledger(orderId)).toEqual(['declined', 'declined', 'declined']);
  });

  it('the waits between attempts are stored in PostgreSQL, on its clock, within the ceiling', async () => {
    const { claimed, db, dueOrder, record, stored } = system();
    const orderId = await dueOrder();
    const options = { backoffBaseMs: 10_000, backoffMaxMs: 15_000 };
    const ahead = async () => {
      const { rows } = await sql<{ ms: number }>`
        SELECT (extract(epoch FROM next_at - clock_timestamp()) * 1000)::float8 AS ms FROM payments
        WHERE order_id = ${orderId}`.execute(db);
      return rows[0]?.ms;
    };
    for (const ceilingMs of [10_000, 15_000]) {
      const { waitMs } = await record(await claimed(orderId), softDecline, { options, random: 0.9 });
      expect(waitMs).toBe(Math.floor(0.9 * (ceilingMs + 1)));
      expect(await ahead()).toBeLessThanOrEqual(waitMs ?? 0);
      expect((await system().claim()).attempts).toEqual([]);
      await system().wakeAll();
    }
    expect((await stored(orderId)).attempts).toMatchObject([{ state: 'DECLINED' }, { state: 'DECLINED' }]);
  });

  it('a hard decline fails the order at once, without a dead letter', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const orderId = await dueOrder({ paymentMethod: 'tok_sim_hard_decline' });
    const executor = startExecutor(gateway);
    await becomes(orderId, 'FAILED');
    await executor.stop();
    const { order, attempts, deadLetters } = await stored(orderId);
    expect(order).toMatchObject({ failure_code: 'stolen_card', failure_attempts: 1 });
    expect({ attempts, deadLetters }).toMatchObject({
      attempts: [{ decline_kind: 'hard' }],
      deadLetters: [],
    });
  });
});

describe('I12: no transaction is idle while the gateway is called', () => {
  it('no session is in a transaction that began before the call', async () => {
    const { dueOrder, pool, startExecutor } = system();
    const during: unknown[] = [];
    const watching = scriptedGateway({
      charge: async () => {
        const { rows } = await pool.query('SELECT clock_timestamp() AS now');
        // The executor claims for its free slots meanwhile; those transactions began later, and end.
        await new Promise((resolve) => setTimeout(resolve, 100));
        const older = await pool.query(
          `SELECT state, query FROM pg_stat_activity
           WHERE datname = current_database() AND state <> 'idle' AND xact_start < $1`,
          [rows[0].now],
        );
        during.push(older.rows);
        return captured();
      },
    });
    const orderId = await dueOrder();
    const executor = startExecutor(watching);
    await becomes(orderId, 'PAID');
    await executor.stop();
    expect(during).toEqual([[]]);
  });
});

describe('the executor', () => {
  it('has no more payments in hand than it has slots', async () => {
    const { dueOrder, startExecutor } = system();
    let inHand = 0;
    let most = 0;
    const counting = scriptedGateway({
      charge: async () => {
        most = Math.max(most, ++inHand);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inHand--;
        return captured();
      },
    });
    const ids = await Promise.all(Array.from({ length: 12 }, () => dueOrder()));
    const executor = startExecutor(counting, { options: { concurrencyMax: 4 } });
    for (const id of ids) await becomes(id, 'PAID');
    await executor.stop();
    expect(most).toBe(4);
  });

  it('drains: stop waits for the call in flight, records it, and claims nothing more', async () => {
    const { dueOrder, startExecutor, stateOf, stored } = system();
    await simulator.control({ latencyMs: 200 });
    const first = await dueOrder();
    const executor = startExecutor(gateway, { options: { concurrencyMax: 1 } });
    await expect.poll(() => simulator.inFlight(), { timeout: 10_000, interval: 10 }).toBe(1);
    const second = await dueOrder();
    expect(executor.isHealthy()).toBe(true);
    await executor.stop();
    expect(executor.isHealthy()).toBe(false);
    expect(await stateOf(first)).toBe('PAID');
    expect(await stored(second)).toMatchObject({ payment: { state: 'DUE' }, attempts: [] });
  });

  it('is woken by the caller and tells the outbox of its events', async () => {
    const { db, dueOrder } = system();
    let wakes = 0;
    const executor = createPaymentExecutor(
      { db, lifecycle, gateway, outbox: { wake: () => void wakes++ } },
      { ...fast, pollIntervalMs: 3_600_000, sweepIntervalMs: 3_600_000 },
    );
    executor.start();
    await expect.poll(() => executor.isHealthy()).toBe(true);
    const orderId = await dueOrder();
    executor.wake();
    await becomes(orderId, 'PAID');
    await executor.stop();
    expect(wakes).toBeGreaterThan(0);
  });

  it('logs every step with order, event, correlation and payment, and no payment method', async () => {
    const { dueOrder, startExecutor, stored } = system();
    const lines: object[] = [];
    const keep = (fields: object) => void lines.push(fields);
    const orderId = await dueOrder({ paymentMethod: 'tok_secret_token' });
    const executor = startExecutor(gateway, { logger: { debug: keep, info: keep, warn: keep, error: keep } });
    await becomes(orderId, 'PAID');
    await executor.stop();
    const { payment, events } = await stored(orderId);
    const ids = {
      orderId,
      correlationId: 'req-1',
      eventId: events[0]?.event_id,
      paymentId: payment?.id,
      n: 1,
    };
    expect(lines.filter((line) => 'n' in line)).toMatchObject([ids, { ...ids, outcome: 'captured' }]);
    expect(JSON.stringify(lines)).not.toContain('tok_secret_token');
  });
});

const quiet = () => undefined;
const silent = { debug: quiet, info: quiet, warn: quiet, error: quiet };

/** Like SIGSTOP: nothing in this process runs meanwhile. */
const stopTheWorld = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
