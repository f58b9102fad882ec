import type { Database, Tx } from '@orders/db';
import { type Selectable, sql } from 'kysely';
import { fingerprintOf, idempotencyKeyOf, isOpen } from './attempt.ts';
import { afterMs, databaseNow } from './database-time.ts';
import type { ChargeRequest } from './gateway.ts';
import type { AttemptRef } from './situation.ts';

/** A payment that belongs to this worker until its lease runs out, and what to do next. */
export interface ClaimedAttempt extends AttemptRef {
  readonly tenantId: string;
  readonly eventId: string;
  readonly correlationId: string;
  /** `send`: a permit for one send is stored. `ask`: look the key up first; a send needs a permit of its own. */
  readonly action: 'send' | 'ask';
  readonly request: ChargeRequest;
  /** Of what was stored when the key was first sent; the request must still match it. */
  readonly fingerprint: string;
  /** Milliseconds after the claim in which a call may start: what is left of the lease, and of the key. */
  readonly callWithinMs: number;
}

/** What a claim took, and what it left alone. */
export interface Claim {
  readonly attempts: readonly ClaimedAttempt[];
  /** Open attempts that were taken up again, not opened. */
  readonly resumed: number;
  /** New attempts that the partial unique index refused. Not 0 means a bug: the claim itself should have seen it. */
  readonly refusedByIndex: number;
  /** The last tenant whose turn it was, whether or not anything of it could be claimed; null: none is left. */
  readonly lastTenant: string | null;
}

/** How many payments are claimed, from which tenant on, and for how long. Times in milliseconds. */
export interface ClaimOptions {
  readonly owner: string;
  /** Free slots of this worker. */
  readonly slots: number;
  /** The turn begins with the tenant behind this one, in name order. */
  readonly afterTenant: string;
  readonly leaseDurationMs: number;
  readonly keyLifetimeMs: number;
  readonly keyLifetimeMarginMs: number;
}

/** `key_left_ms`: how long its key may still be sent, negative when that is over. */
type Attempt = Selectable<Database['payment_attempts']> & { key_left_ms: number };
interface DuePayment {
  readonly id: string;
  readonly order_id: string;
  readonly tenant_id: string;
  readonly event_id: string;
  readonly correlation_id: string;
  readonly amount_minor: number;
  readonly currency: string;
  readonly payment_method: string;
  readonly round: number;
  readonly lease_token: number;
}

/**
 * Leases payments that are due, in a short transaction of its own: it must be committed before any call.
 *
 * Locks payments alone and skips those that others have locked, so it neither waits for anybody nor makes anybody
 * wait. An attempt that is open is taken up again with its key; only where none is open and none has won is a new
 * one opened. Every send is counted (`permits`) here, before it happens.
 */
export async function claimPayments(tx: Tx, options: ClaimOptions): Promise<Claim> {
  const { due, lastTenant } = await lockDuePayments(tx, options);
  if (due.length === 0) return { attempts: [], resumed: 0, refusedByIndex: 0, lastTenant };
  const attempts = await attemptsOf(tx, due, options);

  const openOf = new Map(attempts.filter(({ state }) => isOpen(state)).map((one) => [one.payment_id, one]));
  const resumed = due.flatMap((payment) => openOf.get(payment.id) ?? []);
  const opened = await openAttempts(
    tx,
    due.filter((payment) => !openOf.has(payment.id)),
    attempts,
    options,
  );

  const taken = new Map([...resumed, ...opened].map((attempt) => [attempt.payment_id, attempt]));
  await lease(tx, [...taken.keys()], options);
  await countSends(tx, resumed.filter(isSend));
  await putAside(
    tx,
    due.filter((payment) => !taken.has(payment.id)),
    options,
  );
  return {
    attempts: due.flatMap((payment) => {
      const attempt = taken.get(payment.id);
      return attempt === undefined ? [] : [claimedOf(payment, attempt, options)];
    }),
    resumed: resumed.length,
    refusedByIndex: due.length - taken.size,
    lastTenant,
  };
}

/**
 * Fair between tenants, by turns: as many tenants as there are slots, in name order behind the last one served, and
 * an even share of the slots for each. A backlog of 50,000 payments gets no more of a turn than a single payment.
 * Tenants are found by skipping through the index, so the cost is that of the tenants, not of their backlogs.
 *
 * A tenant has had its turn even if all it has due is locked or waits for the sweeper: the next turn must not begin
 * with it again. What that leaves free, and what does not divide evenly, goes to the next turn, which follows at once.
 *
 * A payment whose cancel was asked for before anything was sent is left to the sweeper, which may lock its order.
 */
async function lockDuePayments(
  tx: Tx,
  { slots, afterTenant }: ClaimOptions,
): Promise<{ due: DuePayment[]; lastTenant: string | null }> {
  const { rows } = await sql<DuePayment & { id: string | null; tenants: number; last_tenant: string }>`
    WITH RECURSIVE tenant (id) AS (
      (SELECT tenant_id FROM payments WHERE state IN ('DUE', 'WAIT') AND tenant_id > ${afterTenant}
       ORDER BY tenant_id LIMIT 1)
      UNION ALL
      SELECT (SELECT tenant_id FROM payments WHERE state IN ('DUE', 'WAIT') AND tenant_id > tenant.id
              ORDER BY tenant_id LIMIT 1)
      FROM tenant WHERE tenant.id IS NOT NULL
    ), served AS MATERIALIZED (
      SELECT id FROM tenant
      WHERE EXISTS (SELECT FROM payments WHERE tenant_id = tenant.id AND state IN ('DUE', 'WAIT')
                    AND next_at <= statement_timestamp())
      LIMIT ${slots}::int
    ), turn AS MATERIALIZED (
      SELECT count(*)::int AS tenants, max(id) AS last_tenant, ${slots}::int / greatest(count(*), 1) AS share
      FROM served
    )
    SELECT due.*, turn.tenants, turn.last_tenant FROM served CROSS JOIN turn LEFT JOIN LATERAL (
      SELECT id, order_id, tenant_id, event_id, correlation_id, amount_minor, currency, payment_method, round,
             lease_token
      FROM payments AS p
      WHERE p.tenant_id = served.id AND p.state IN ('DUE', 'WAIT') AND p.next_at <= statement_timestamp()
        AND NOT (p.cancel_requested AND NOT EXISTS (
          SELECT FROM payment_attempts AS a WHERE a.payment_id = p.id AND a.state IN ('SENT', 'UNKNOWN')))
      ORDER BY p.next_at
      LIMIT turn.share
      FOR UPDATE SKIP LOCKED
    ) AS due ON true`.execute(tx);
  const [first] = rows;
  return {
    due: rows.filter(({ id }) => id !== null),
    // In the order of the database's collation, which need not be ours.
    lastTenant: first === undefined || first.tenants < slots ? null : first.last_tenant,
  };
}

/** With what is left of each key, by the database's clock, which also wrote `first_sent_at`. */
function attemptsOf(
  tx: Tx,
  due: readonly DuePayment[],
  { keyLifetimeMs, keyLifetimeMarginMs }: ClaimOptions,
): Promise<Attempt[]> {
  const sendableMs = keyLifetimeMs - keyLifetimeMarginMs;
  const keyLeftMs = sql<number>`(${sendableMs}::double precision
    - extract(epoch FROM clock_timestamp() - first_sent_at) * 1000)::double precision`;
  return tx
    .selectFrom('payment_attempts')
    .selectAll()
    .select(keyLeftMs.as('key_left_ms'))
    .where(
      'payment_id',
      'in',
      due.map(({ id }) => id),
    )
    .execute();
}

/** New, or certainly turned away each time it was sent; and its key is young enough. Any other is asked about. */
const isSend = (attempt: Attempt): boolean => attempt.state === 'SENT' && attempt.key_left_ms > 0;

/** Opens the next attempt of each payment. The index has the last word; what it refuses is not returned. */
async function openAttempts(
  tx: Tx,
  payments: readonly DuePayment[],
  attempts: readonly Attempt[],
  { keyLifetimeMs, keyLifetimeMarginMs }: ClaimOptions,
): Promise<Attempt[]> {
  if (payments.length === 0) return [];
  const rows = payments.map((payment) => {
    const earlier = attempts.filter(({ payment_id }) => payment_id === payment.id).map(({ n }) => n);
    const n = Math.max(0, ...earlier) + 1;
    return {
      payment_id: payment.id,
      n,
      round: payment.round,
      idempotency_key: idempotencyKeyOf(payment.id, n),
      amount_minor: payment.amount_minor,
      currency: payment.currency,
      fingerprint: fingerprintOf(bodyOf(payment, payment)),
      permits: 1,
      state: 'SENT' as const,
      first_sent_at: databaseNow,
      last_sent_at: databaseNow,
    };
  });
  const opened = await tx
    .insertInto('payment_attempts')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .execute();
  return opened.map((row) => ({ ...row, key_left_ms: keyLifetimeMs - keyLifetimeMarginMs }));
}

async function lease(tx: Tx, paymentIds: readonly string[], options: ClaimOptions): Promise<void> {
  if (paymentIds.length === 0) return;
  await tx
    .updateTable('payments')
    .set((eb) => ({
      state: 'LEASED',
      lease_token: eb('lease_token', '+', 1),
      lease_until: afterMs(options.leaseDurationMs),
      lease_owner: options.owner,
      updated_at: databaseNow,
    }))
    .where('id', 'in', paymentIds)
    .execute();
}

async function countSends(tx: Tx, attempts: readonly Attempt[]): Promise<void> {
  for (const { payment_id, n } of attempts) {
    await tx
      .updateTable('payment_attempts')
      .set((eb) => ({ permits: eb('permits', '+', 1), last_sent_at: databaseNow }))
      .where('payment_id', '=', payment_id)
      .where('n', '=', n)
      .execute();
  }
}

/** What cannot be claimed now must not be found again at once. */
async function putAside(tx: Tx, payments: readonly DuePayment[], options: ClaimOptions): Promise<void> {
  if (payments.length === 0) return;
  await tx
    .updateTable('payments')
    .set({ next_at: afterMs(options.leaseDurationMs), updated_at: databaseNow })
    .where(
      'id',
      'in',
      payments.map(({ id }) => id),
    )
    .execute();
}

const bodyOf = (
  payment: Pick<DuePayment, 'order_id' | 'payment_method'>,
  frozen: Pick<Attempt, 'amount_minor' | 'currency'>,
) => ({
  reference: payment.order_id,
  amountMinor: frozen.amount_minor,
  currency: frozen.currency,
  paymentMethod: payment.payment_method,
});

function claimedOf(payment: DuePayment, attempt: Attempt, options: ClaimOptions): ClaimedAttempt {
  const { leaseDurationMs } = options;
  const send = isSend(attempt);
  return {
    orderId: payment.order_id,
    paymentId: payment.id,
    n: attempt.n,
    token: payment.lease_token + 1,
    tenantId: payment.tenant_id,
    eventId: payment.event_id,
    correlationId: payment.correlation_id,
    action: send ? 'send' : 'ask',
    request: { idempotencyKey: attempt.idempotency_key, ...bodyOf(payment, attempt) },
    fingerprint: attempt.fingerprint,
    callWithinMs: send ? Math.min(leaseDurationMs, attempt.key_left_ms) : leaseDurationMs,
  };
}
