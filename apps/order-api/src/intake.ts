import { type Database, inTransaction, type Tx } from '@orders/db';
import { type OrderEventData, partitionKey } from '@orders/events';
import type { NewOrder, Order, OrderLifecycle } from '@orders/order-lifecycle';
import type { Outbox } from '@orders/outbox';
import { type Kysely, sql } from 'kysely';
import { unavailable } from './errors.ts';
import { firstAnswer, type OrderAnswer } from './order-answer.ts';

/** A validated order and the key under which its client may repeat it. */
export interface IntakeRequest {
  readonly order: NewOrder & { readonly id: string };
  readonly route: string;
  readonly idempotencyKey: string;
  readonly fingerprint: string;
  /** Aborted when the client has been told that we gave up: then no commit begins any more. */
  readonly signal: AbortSignal;
}

/** What became of an order that was handed in. */
export type IntakeResult =
  | { readonly outcome: 'accepted'; readonly order: Order; readonly eventId: string }
  | { readonly outcome: 'replayed'; readonly answer: OrderAnswer }
  | { readonly outcome: 'key-reused' };

/**
 * Takes orders in. Idempotency key, order, its history and its outbox event are one transaction, so a key that is
 * known means an order that stands. Of concurrent requests with one key the first to insert it wins; the others wait
 * for its commit and get its answer, or take its place if it rolls back.
 */
export interface Intake {
  /** Resolves after the commit. @throws whatever the database says; then a repeat with the same key is safe */
  take(request: IntakeRequest): Promise<IntakeResult>;
}

/** Repeats are recognised for at least this long. */
const idempotencyKeyLifetimeHours = 24;

/** A key can only vanish between our two looks at it by expiring, so twice is already once too often. */
const looksMax = 3;

/** Coalescing of concurrent requests into one transaction will go in here, behind {@link Intake}. */
export function createIntake(deps: {
  db: Kysely<Database>;
  lifecycle: Pick<OrderLifecycle, 'createOrders'>;
  outbox: Pick<Outbox, 'wake'>;
  crashPoint?: (point: string) => void;
}): Intake {
  const { db, lifecycle, outbox, crashPoint = () => undefined } = deps;

  async function takeInTransaction(tx: Tx, request: IntakeRequest): Promise<IntakeResult> {
    for (let looks = 0; !(await claimKey(tx, request)); looks++) {
      if (looks === looksMax) throw unavailable('the idempotency key is contended');
      const earlier = await earlierResult(tx, request);
      if (earlier !== null) return earlier;
    }
    const [change] = await lifecycle.createOrders(tx, [request.order]);
    if (change === undefined) throw new Error('createOrders returned no order');
    request.signal.throwIfAborted();
    crashPoint('api.order.before-commit');
    return { outcome: 'accepted', order: change.order, eventId: change.event.id };
  }

  return {
    async take(request) {
      const result = await inTransaction(db, (tx) => takeInTransaction(tx, request));
      if (result.outcome === 'accepted') {
        crashPoint('api.order.after-commit');
        outbox.wake(partitionKey(result.order));
      }
      return result;
    },
  };
}

/** False if the key is taken; waits for a transaction that is about to take it. */
async function claimKey(tx: Tx, request: IntakeRequest): Promise<boolean> {
  const claimed = await tx
    .insertInto('idempotency_keys')
    .values({
      tenant_id: request.order.tenantId,
      route: request.route,
      key: request.idempotencyKey,
      fingerprint: request.fingerprint,
      order_id: request.order.id,
      expires_at: sql<Date>`clock_timestamp() + make_interval(hours => ${idempotencyKeyLifetimeHours})`,
    })
    .onConflict((conflict) => conflict.columns(['tenant_id', 'route', 'key']).doNothing())
    .returning('order_id')
    .executeTakeFirst();
  return claimed !== undefined;
}

/** A statement of its own, after the claim: its snapshot sees what the claim has waited for. */
async function earlierResult(tx: Tx, request: IntakeRequest): Promise<IntakeResult | null> {
  const row = await tx
    .selectFrom('idempotency_keys as k')
    .innerJoin('orders as o', 'o.id', 'k.order_id')
    .innerJoin('order_events as e', (join) => join.onRef('e.order_id', '=', 'o.id').on('e.version', '=', 1))
    .select(['k.fingerprint', 'o.created_at as createdAt', 'e.data', 'e.occurred_at as occurredAt'])
    .where('k.tenant_id', '=', request.order.tenantId)
    .where('k.route', '=', request.route)
    .where('k.key', '=', request.idempotencyKey)
    .where('o.tenant_id', '=', request.order.tenantId)
    .executeTakeFirst();
  if (row === undefined) return null;
  if (row.fingerprint !== request.fingerprint) return { outcome: 'key-reused' };
  const data = row.data as OrderEventData<'order.created.v1'>;
  return { outcome: 'replayed', answer: firstAnswer(data, row) };
}
