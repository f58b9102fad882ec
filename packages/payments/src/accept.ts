import type { Database, Tx } from '@orders/db';
import type { OrderCreatedEvent } from '@orders/events';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import type { Insertable } from 'kysely';
import { v7 as uuidv7 } from 'uuid';

/** What of an `order.created` is needed to start its payment. */
export type PaymentCause = Pick<OrderCreatedEvent, 'id' | 'traceparent'> & {
  readonly data: Pick<OrderCreatedEvent['data'], 'orderId'>;
};

/** What became of the orders of the events. */
export interface Acceptance {
  /** Orders whose payment is due now. */
  readonly accepted: readonly string[];
  /** Orders left alone: not CREATED any more (accepted before, cancelled), or with a payment already. */
  readonly unchanged: readonly string[];
  /** Orders that this database does not know. */
  readonly missing: readonly string[];
}

/**
 * Gives each order its payment and moves it to PAYMENT_PENDING, in the caller's transaction, set-based.
 *
 * The order's state is checked under its lock: an event that comes late or twice, or after a cancel, starts nothing.
 * Amount and currency come from the order itself, not from the event. Call the executor's `wake` after the commit.
 */
export async function acceptCreatedOrders(
  tx: Tx,
  lifecycle: Pick<OrderLifecycle, 'transitionOrders'>,
  events: readonly PaymentCause[],
): Promise<Acceptance> {
  const causes = new Map(events.map((event) => [event.data.orderId.toLowerCase(), event]));
  const orderIds = [...causes.keys()].sort();
  if (orderIds.length === 0) return { accepted: [], unchanged: [], missing: [] };

  const orders = await tx
    .selectFrom('orders')
    .select([
      'id',
      'state',
      'tenant_id',
      'customer_id',
      'correlation_id',
      'total_minor',
      'currency',
      'payment_method',
    ])
    .where('id', 'in', orderIds)
    .orderBy('id')
    .forUpdate()
    .execute();
  const created = orders.filter(({ state }) => state === 'CREATED');
  const accepted = await insertPayments(
    tx,
    created.map((order) => ({
      id: uuidv7(),
      order_id: order.id,
      tenant_id: order.tenant_id,
      customer_id: order.customer_id,
      event_id: causes.get(order.id)?.id ?? '',
      correlation_id: order.correlation_id,
      amount_minor: order.total_minor,
      currency: order.currency,
      payment_method: order.payment_method,
      state: 'DUE' as const,
    })),
  );
  await lifecycle.transitionOrders(
    tx,
    accepted.map((orderId) => {
      const { id, traceparent } = causes.get(orderId) as PaymentCause;
      return { orderId, command: { type: 'startPayment' }, causationId: id, traceparent };
    }),
  );

  const known = new Set(orders.map(({ id }) => id));
  const isAccepted = new Set(accepted);
  return {
    accepted,
    unchanged: orderIds.filter((id) => known.has(id) && !isAccepted.has(id)),
    missing: orderIds.filter((id) => !known.has(id)),
  };
}

/** An order that has a payment already keeps it. Returns the orders whose payment is new. */
async function insertPayments(
  tx: Tx,
  payments: readonly Insertable<Database['payments']>[],
): Promise<string[]> {
  if (payments.length === 0) return [];
  const inserted = await tx
    .insertInto('payments')
    .values([...payments])
    .onConflict((conflict) => conflict.column('order_id').doNothing())
    .returning('order_id')
    .execute();
  return inserted.map(({ order_id }) => order_id);
}
