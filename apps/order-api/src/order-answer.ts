import type { OrderEventData } from '@orders/events';
import type { Order } from '@orders/order-lifecycle';

/** An order as clients see it. What is not named here, the payment method above all, is not shown. */
export interface OrderAnswer {
  readonly id: string;
  readonly state: string;
  readonly version: number;
  readonly customerId: string;
  readonly currency: string;
  readonly totalMinor: number;
  readonly items: Order['items'];
  readonly metadata?: Readonly<Record<string, string>>;
  /** Why the order is FAILED or in REVIEW. */
  readonly failure?: { readonly code: string; readonly attempts: number };
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** The order as it stands. */
export function orderAnswer(order: Order): OrderAnswer {
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
export function firstAnswer(created: {
  data: OrderEventData<'order.created.v1'>;
  createdAt: Date;
  occurredAt: Date;
}): OrderAnswer {
  const { orderId, state, version, customerId, currency, totalMinor, items, metadata } = created.data;
  return {
    id: orderId,
    state,
    version,
    customerId,
    currency,
    totalMinor,
    items,
    ...(metadata === undefined ? {} : { metadata }),
    createdAt: created.createdAt.toISOString(),
    updatedAt: created.occurredAt.toISOString(),
  };
}
