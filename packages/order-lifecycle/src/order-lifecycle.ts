import type { Tx } from '@orders/db';
import { type OrderEvent, type OrderItem, toOutboxEvent } from '@orders/events';
import type { Outbox } from '@orders/outbox';
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { LifecycleError } from './errors.ts';
import { type EventOrigin, eventOf, type Order, orderOf } from './order.ts';
import { decide, type OrderCommand } from './transitions.ts';

/** An order to be created; the caller has validated it. Amounts in the currency's minor unit. */
export interface NewOrder extends EventOrigin {
  /** UUID v7; made here when absent. */
  readonly id?: string;
  readonly tenantId: string;
  readonly customerId: string;
  readonly currency: string;
  readonly totalMinor: number;
  readonly paymentMethod: string;
  readonly items: readonly OrderItem[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly correlationId: string;
}

/** One command for one order. */
export interface TransitionRequest extends EventOrigin {
  readonly orderId: string;
  readonly command: OrderCommand;
}

/** An order as it now is, and the event that says so. */
export interface OrderChange {
  readonly order: Order;
  readonly event: OrderEvent;
}

/** What became of a request. `refused` carries the order as it stands and changes nothing. */
export type TransitionResult =
  | ({ readonly outcome: 'done'; readonly orderId: string } & OrderChange)
  | { readonly outcome: 'refused'; readonly orderId: string; readonly order: Order; readonly reason: string };

/** Writes of orders. Every change, its `order_events` row and its outbox event share the caller's transaction. */
export interface OrderLifecycle {
  /** Inserts orders in state CREATED, version 1; results in the order given. At most 5,000 at once. */
  createOrders(tx: Tx, orders: readonly NewOrder[]): Promise<OrderChange[]>;
  /**
   * Decides and writes one command per order, set-based, results in the order of the requests.
   * An order that another transaction changed meanwhile is read again and decided again. The rows are locked in
   * the order of their ids, so that calls with overlapping orders wait for each other and never in a circle.
   * @throws LifecycleError `LIFECYCLE_ORDER_NOT_FOUND`, `LIFECYCLE_ORDER_TWICE`, `LIFECYCLE_CONTENDED`
   */
  transitionOrders(tx: Tx, requests: readonly TransitionRequest[]): Promise<TransitionResult[]>;
  /** {@link OrderLifecycle.transitionOrders} for one. */
  transitionOrder(tx: Tx, request: TransitionRequest): Promise<TransitionResult>;
}

/** How often an order may change between our reading and our writing it before we give up. */
const rereadsMax = 10;

/** @param deps `topic` is the topic of the events */
export function createOrderLifecycle(deps: { outbox: Pick<Outbox, 'add'>; topic: string }): OrderLifecycle {
  async function recordChanges(tx: Tx, changes: readonly OrderChange[]): Promise<void> {
    if (changes.length === 0) return;
    await insertOrderEvents(tx, changes);
    await deps.outbox.add(
      tx,
      changes.map(({ event }) => toOutboxEvent(event, deps.topic)),
    );
  }

  async function createOrders(tx: Tx, orders: readonly NewOrder[]): Promise<OrderChange[]> {
    if (orders.length === 0) return [];
    const ids = orders.map((order) => order.id ?? uuidv7());
    const rows = await tx
      .insertInto('orders')
      .values(orders.map((order, i) => rowOf(order, ids[i] as string)))
      .returningAll()
      .execute();
    const byId = new Map(rows.map((row) => [row.id, orderOf(row)]));
    const changes = orders.map((origin, i) => {
      const order = byId.get(ids[i] as string) as Order;
      return { order, event: eventOf(order, 'order.created.v1', null, origin) };
    });
    await recordChanges(tx, changes);
    return changes;
  }

  async function transitionOrders(
    tx: Tx,
    requests: readonly TransitionRequest[],
  ): Promise<TransitionResult[]> {
    refuseTwice(requests);
    const results = new Map<string, TransitionResult>();
    let open = requests;
    for (let reads = 0; open.length > 0; reads++) {
      if (reads > rereadsMax) {
        const ids = open.map((request) => request.orderId).join(', ');
        throw new LifecycleError(
          'LIFECYCLE_CONTENDED',
          `orders ${ids} changed ${reads} times while being decided`,
        );
      }
      for (const result of await decideAndWrite(tx, open)) results.set(result.orderId, result);
      open = open.filter((request) => !results.has(request.orderId));
    }
    const inOrder = requests.map((request) => results.get(request.orderId) as TransitionResult);
    await recordChanges(
      tx,
      inOrder.filter((result) => result.outcome === 'done'),
    );
    return inOrder;
  }

  async function transitionOrder(tx: Tx, request: TransitionRequest): Promise<TransitionResult> {
    return (await transitionOrders(tx, [request]))[0] as TransitionResult;
  }

  return { createOrders, transitionOrders, transitionOrder };
}

/** Two commands for one order would be decided on the same state; the second must see what the first did. */
function refuseTwice(requests: readonly TransitionRequest[]): void {
  const seen = new Set<string>();
  for (const { orderId } of requests) {
    if (seen.has(orderId)) {
      throw new LifecycleError('LIFECYCLE_ORDER_TWICE', `order ${orderId} has two commands in one call`);
    }
    seen.add(orderId);
  }
}

/** One round: read, decide, write what is still at the version that was read. Orders that moved have no result. */
async function decideAndWrite(tx: Tx, requests: readonly TransitionRequest[]): Promise<TransitionResult[]> {
  const ids = requests.map((request) => request.orderId);
  const rows = await tx
    .selectFrom('orders')
    .selectAll()
    .where('id', '=', sql<string>`any(${ids}::uuid[])`)
    .execute();
  const current = new Map(rows.map((row) => [row.id, orderOf(row)]));

  const refused: TransitionResult[] = [];
  const moves = new Map<string, { request: TransitionRequest; target: Target }>();
  for (const request of requests) {
    const order = current.get(request.orderId);
    if (order === undefined) {
      throw new LifecycleError('LIFECYCLE_ORDER_NOT_FOUND', `there is no order ${request.orderId}`);
    }
    const { orderId, command } = request;
    const decision = decide(order.state, command);
    if (decision.kind === 'refused') {
      refused.push({ outcome: 'refused', orderId, order, reason: decision.reason });
    } else {
      moves.set(orderId, { request, target: { order, command, ...decision } });
    }
  }

  const written = await writeTransitions(
    tx,
    [...moves.values()].map((move) => move.target),
  );
  const done = written.map((order): TransitionResult => {
    const { request, target } = moves.get(order.id) as { request: TransitionRequest; target: Target };
    const event = eventOf(order, target.eventType, request.command, request);
    return { outcome: 'done', orderId: order.id, order, event };
  });
  return [...refused, ...done];
}

type Target = { order: Order; command: OrderCommand } & Extract<
  ReturnType<typeof decide>,
  { kind: 'transition' }
>;

/** Writes in one statement, rows locked in key order; an order that is no longer at its version is left alone. */
async function writeTransitions(tx: Tx, targets: readonly Target[]): Promise<Order[]> {
  if (targets.length === 0) return [];
  const failures = targets.map(({ command }) => ('failure' in command ? command.failure : null));
  const { rows } = await sql<Parameters<typeof orderOf>[0]>`
    WITH request AS (
      SELECT * FROM unnest(
        ${targets.map((t) => t.order.id)}::uuid[],
        ${targets.map((t) => t.order.version)}::int[],
        ${targets.map((t) => t.to)}::text[],
        ${failures.map((failure) => failure?.code ?? null)}::text[],
        ${failures.map((failure) => failure?.attempts ?? null)}::int[]
      ) AS r (id, version, state, failure_code, failure_attempts)
    ), locked AS MATERIALIZED (
      SELECT id FROM orders WHERE id IN (SELECT id FROM request) ORDER BY id FOR UPDATE
    )
    UPDATE orders AS o
    SET state = r.state, version = o.version + 1, updated_at = clock_timestamp(),
        failure_code = r.failure_code, failure_attempts = r.failure_attempts
    FROM request AS r JOIN locked AS l ON l.id = r.id
    WHERE o.id = r.id
      AND o.version = r.version
    RETURNING o.*`.execute(tx);
  return rows.map(orderOf);
}

async function insertOrderEvents(tx: Tx, changes: readonly OrderChange[]): Promise<void> {
  // Arrays, not VALUES: a consumer's whole chunk may need more parameters than a statement can have (65,535).
  await sql`
    INSERT INTO order_events (order_id, version, event_id, tenant_id, type, data, occurred_at)
    SELECT * FROM unnest(
      ${changes.map(({ order }) => order.id)}::uuid[],
      ${changes.map(({ order }) => order.version)}::int[],
      ${changes.map(({ event }) => event.id)}::uuid[],
      ${changes.map(({ order }) => order.tenantId)}::text[],
      ${changes.map(({ event }) => event.type)}::text[],
      ${changes.map(({ event }) => JSON.stringify(event.data))}::jsonb[],
      ${changes.map(({ event }) => event.time)}::timestamptz[]
    )`.execute(tx);
}

function rowOf(order: NewOrder, id: string) {
  return {
    id,
    tenant_id: order.tenantId,
    customer_id: order.customerId,
    state: 'CREATED',
    currency: order.currency,
    total_minor: order.totalMinor,
    payment_method: order.paymentMethod,
    items: JSON.stringify(order.items),
    metadata: order.metadata === undefined ? null : JSON.stringify(order.metadata),
    correlation_id: order.correlationId,
  } as const;
}
