import type { OrderEventData } from '@orders/events';
import type { Order } from '@orders/order-lifecycle';

/** What of an order is shown; the payment method, above all, is not. */
type ShownOrder = Omit<Order, 'tenantId' | 'paymentMethod' | 'correlationId'>;

/** An order as clients see it; `failure` says why it is FAILED or in REVIEW. */
export type OrderAnswer = ReturnType<typeof orderAnswer>;

/** The order as it stands. */
export function orderAnswer(order: ShownOrder) {
  const { id, state, version, customerId, currency, totalMinor, items, metadata, failure } = order;
  return {
    id,
    state,
    version,
    customerId,
    currency,
    totalMinor,
    items,
    ...(metadata === null ? {} : { metadata }),
    ...(failure === null ? {} : { failure: { code: failure.code, attempts: failure.attempts } }),
    createdAt: order.createdAt.toISOString(),
    updatedAt: order.updatedAt.toISOString(),
  };
}

/** The answer that the order's creation got, from its first event: the order may have moved on since. */
export function firstAnswer(
  data: OrderEventData<'order.created.v1'>,
  times: { createdAt: Date; occurredAt: Date },
): OrderAnswer {
  const { createdAt, occurredAt: updatedAt } = times;
  const { orderId: id, metadata = null } = data;
  return orderAnswer({ ...data, id, metadata, failure: null, createdAt, updatedAt });
}
