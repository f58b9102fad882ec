import { applyGrants, createDatabase, type DatabaseHandle, inTransaction, migrateAll } from '@orders/db';
import { createTestDatabase } from '@orders/dev-stack/testing';
import { ordersTopic } from '@orders/events';
import { createOrderLifecycle } from '@orders/order-lifecycle';
import { createOutbox } from '@orders/outbox';
import { sql } from 'kysely';
import { afterAll, beforeAll } from 'vitest';
import { claimPayments } from '../src/claim.ts';
import type { AttemptOutcome } from '../src/decision.ts';
import {
  acceptCreatedOrders,
  type ChargeRequest,
  createPaymentExecutor,
  type Gateway,
  type GatewayOutcome,
  type Logger,
  type LookupOutcome,
  type PaymentExecutor,
  type PaymentOptions,
  paymentOptions,
} from '../src/index.ts';
import { recordOutcome } from '../src/record.ts';
import type { AttemptRef } from '../src/situation.ts';
import { createSweeper } from '../src/sweep.ts';

export const lifecycle = createOrderLifecycle({ outbox: createOutbox(), topic: ordersTopic.name });

/** Fast enough for tests; they keep their order: call < lease, call < margin < key lifetime. */
export const fast: Partial<PaymentOptions> = {
  leaseDurationMs: 1_000,
  backoffBaseMs: 20,
  backoffMaxMs: 100,
  pollIntervalMs: 30,
  sweepIntervalMs: 60,
  keyLifetimeMs: 60_000,
  keyLifetimeMarginMs: 5_000,
  drainTimeoutMs: 3_000,
};
export const callTimeoutMs = 400;

type System = Awaited<ReturnType<typeof createSystem>>;

/** A database of the test file's own, with what the tests do to orders and payments in it. */
export function useSystem(): () => System {
  let system: System | undefined;
  beforeAll(async () => {
    system = await createSystem();
  });
  afterAll(() => system?.close());
  return () => system as System;
}

async function createSystem() {
  const testDatabase = await createTestDatabase({ template: 'orders', migrate });
  const database = createDatabase({ url: testDatabase.url, poolMax: 12, applicationName: 'payments' });
  const worker = createDatabase({ url: asWorker(testDatabase.url), poolMax: 12, applicationName: 'worker' });
  const executors = new Set<PaymentExecutor>();
  const { db } = database;
  async function stopAll() {
    await Promise.all([...executors].map((executor) => executor.stop()));
    executors.clear();
  }

  return {
    ...database,
    ...ordersOf(database, worker),
    ...protocolOf(worker),
    /** Starts an executor; it is stopped at the end if not before. */
    startExecutor(
      gateway: Gateway,
      o: { options?: Partial<PaymentOptions>; crashPoint?: (point: string) => void; logger?: Logger } = {},
    ) {
      const { options, ...deps } = o;
      const executor = createPaymentExecutor(
        { db: worker.db, lifecycle, gateway, ...deps },
        { ...fast, ...options },
      );
      executors.add(executor);
      executor.start();
      return executor;
    },
    /** Nothing of earlier tests is at work, due or leased any more. */
    async clear() {
      await stopAll();
      await db
        .updateTable('payments')
        .set({ state: 'VOID' })
        .where('state', 'in', ['DUE', 'WAIT', 'LEASED'])
        .execute();
    },
    async close() {
      await stopAll();
      await Promise.all([database.close(), worker.close()]);
      await testDatabase.drop();
    },
  };
}

/** Of these tests alone. They stay when the database is gone: a role is the server's. */
const roles = {
  api: 'payments_test_api',
  relay: 'payments_test_relay',
  worker: 'payments_test_worker',
  outboxOwner: 'payments_test_outbox_owner',
};

async function migrate(url: string): Promise<void> {
  await migrateAll(url);
  const { db, pool, close } = createDatabase({ url });
  for (const role of Object.values(roles))
    await pool.query(
      `DO $$ BEGIN CREATE ROLE ${role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
    );
  await pool.query(`GRANT ${roles.outboxOwner} TO ${roles.relay}`);
  await applyGrants(db, { roles });
  await close();
}

/** The payments are made with the worker's rights, so that a right which is missing fails a test. */
function asWorker(superusersUrl: string): string {
  const url = new URL(superusersUrl);
  url.searchParams.set('options', `-c role=${roles.worker}`);
  return url.href;
}

function ordersOf({ db }: DatabaseHandle, worker: DatabaseHandle) {
  /** Creates an order without a payment; returns its id and that of its `order.created`. */
  async function createOrder(o: { tenantId?: string; paymentMethod?: string } = {}) {
    const [change] = await inTransaction(db, (tx) =>
      lifecycle.createOrders(tx, [
        {
          tenantId: o.tenantId ?? 'acme',
          customerId: 'c-1',
          currency: 'EUR',
          totalMinor: 500,
          paymentMethod: o.paymentMethod ?? 'tok_visa',
          items: [{ sku: 'tea', name: 'Tea', quantity: 1, unitAmountMinor: 500 }],
          correlationId: 'req-1',
        },
      ]),
    );
    if (change === undefined) throw new Error('no order');
    return { orderId: change.order.id, eventId: change.event.id };
  }

  const accept = (orders: readonly { orderId: string; eventId: string }[]) =>
    inTransaction(worker.db, (tx) =>
      acceptCreatedOrders(
        tx,
        lifecycle,
        orders.map(({ orderId, eventId }) => ({ id: eventId, data: { orderId } })),
      ),
    );

  /** An order with a payment that is due. */
  async function dueOrder(o: { tenantId?: string; paymentMethod?: string } = {}): Promise<string> {
    const order = await createOrder(o);
    await accept([order]);
    return order.orderId;
  }

  async function stored(orderId: string) {
    const order = await db
      .selectFrom('orders')
      .selectAll()
      .where('id', '=', orderId)
      .executeTakeFirstOrThrow();
    const payment = await db
      .selectFrom('payments')
      .selectAll()
      .where('order_id', '=', orderId)
      .executeTakeFirst();
    const attempts = await db
      .selectFrom('payment_attempts')
      .selectAll()
      .where('payment_id', '=', payment?.id ?? null)
      .orderBy('n')
      .execute();
    const [events, refunds, breaks, deadLetters] = await Promise.all([
      db.selectFrom('order_events').selectAll().where('order_id', '=', orderId).orderBy('version').execute(),
      db.selectFrom('refunds').selectAll().where('order_id', '=', orderId).execute(),
      db.selectFrom('audit_breaks').selectAll().where('order_id', '=', orderId).execute(),
      db
        .selectFrom('dead_letter_events')
        .selectAll()
        .where('event_id', '=', payment?.event_id ?? '')
        .execute(),
    ]);
    return { order, payment, attempts, events, refunds, breaks, deadLetters };
  }
  const stateOf = async (orderId: string) => (await stored(orderId)).order.state;

  return { createOrder, accept, dueOrder, stored, stateOf };
}

/** The protocol step by step, for what an executor would do too quickly to be watched. */
function protocolOf({ db }: DatabaseHandle) {
  const rulesFor = (o: { options?: Partial<PaymentOptions>; replaysDeclines?: boolean }) => {
    const replaysDeclines = o.replaysDeclines ?? true;
    return {
      ...paymentOptions({ ...fast, ...o.options }, { replaysDeclines, callDurationMaxMs: 1 }),
      replaysDeclines,
    };
  };
  type Options = Parameters<typeof rulesFor>[0];

  const claim = (o: Options & { slots?: number; afterTenant?: string; owner?: string } = {}) =>
    inTransaction(db, (tx) =>
      claimPayments(tx, {
        ...rulesFor(o),
        owner: o.owner ?? 'test',
        slots: o.slots ?? 10,
        afterTenant: o.afterTenant ?? '',
      }),
    );
  /** Claims the payment of this order, which must be the only one that is due. */
  async function claimed(orderId: string, o: Options = {}) {
    const { attempts } = await claim(o);
    if (attempts.length !== 1 || attempts[0]?.orderId !== orderId) {
      throw new Error(`expected a claim of order ${orderId} alone, got ${JSON.stringify(attempts)}`);
    }
    return attempts[0];
  }
  const record = (ref: AttemptRef, outcome: AttemptOutcome, o: Options & { random?: number } = {}) =>
    inTransaction(db, (tx) =>
      recordOutcome(tx, { lifecycle, rules: rulesFor(o), random: () => o.random ?? 0 }, ref, outcome),
    );
  const sweeper = (o: Options & { error?: (fields: object, message: string) => void } = {}) => {
    const quiet = () => undefined;
    const logger = { debug: quiet, info: quiet, warn: quiet, error: o.error ?? quiet };
    const rules = rulesFor(o);
    return createSweeper({ db, lifecycle, logger, rules, lostEventGraceMs: rules.lostEventGraceMs });
  };
  const sweepOnce = (o: Options = {}) => sweeper(o).sweep();
  /** The owner stays away: its lease runs out, and the sweeper sees it. */
  async function loseLease(orderId: string) {
    await db
      .updateTable('payments')
      .set({ lease_until: new Date(0) })
      .where('order_id', '=', orderId)
      .where('state', '=', 'LEASED')
      .executeTakeFirstOrThrow();
    return sweepOnce();
  }
  /** Waits are over: everything that waits is due. */
  const wakeAll = () =>
    db
      .updateTable('payments')
      .set({ next_at: new Date(0) })
      .where('state', '=', 'WAIT')
      .execute();
  /** Runs `work` while somebody holds the lock of this order’s payment. */
  const whileLocked = <R>(orderId: string, work: () => Promise<R>): Promise<R> =>
    inTransaction(db, async (tx) => {
      await sql`SET LOCAL idle_in_transaction_session_timeout = 0`.execute(tx);
      await tx.selectFrom('payments').select('id').where('order_id', '=', orderId).forUpdate().execute();
      return work();
    });
  return { claim, claimed, record, sweeper, sweepOnce, loseLease, wakeAll, whileLocked };
}

/** What a test wants the gateway to say; the ledger stays inside. */
export interface ScriptedGateway extends Gateway {
  readonly charged: ChargeRequest[];
  readonly asked: string[];
}

/** A gateway that does as told, for outcomes and moments that a real one cannot be made to give. */
export function scriptedGateway(script: {
  charge: (request: ChargeRequest, nth: number) => GatewayOutcome | Promise<GatewayOutcome>;
  lookup?: (key: string, nth: number) => LookupOutcome | Promise<LookupOutcome>;
  replaysDeclines?: boolean;
}): ScriptedGateway {
  const charged: ChargeRequest[] = [];
  const asked: string[] = [];
  return {
    capabilities: { replaysDeclines: script.replaysDeclines ?? true, callDurationMaxMs: callTimeoutMs },
    charged,
    asked,
    charge: async (request) => script.charge(request, charged.push(request)),
    lookup: async ({ idempotencyKey: key }) =>
      (script.lookup ?? (() => ({ outcome: 'not-found' }) as const))(key, asked.push(key)),
  };
}

export const captured = (chargeId = `ch_${crypto.randomUUID()}`) =>
  ({ outcome: 'captured', chargeId, amountMinor: 500, currency: 'EUR' }) as const;
export const softDecline = { outcome: 'declined', kind: 'soft', code: 'insufficient_funds' } as const;
export const hardDecline = { outcome: 'declined', kind: 'hard', code: 'stolen_card' } as const;
export const unknown = { outcome: 'unknown', reason: 'no answer' } as const;
export const notExecuted = { outcome: 'not-executed', reason: 'rate limited (429)' } as const;
