import type { OrderEventData, OrderEventType } from './order-data.ts';

/** What happened to an order, with its envelope. A union over `type`, so that `data` narrows with it. */
export type OrderEvent<T extends OrderEventType = OrderEventType> = {
  [K in T]: {
    /** UUID; the consumer's inbox deduplicates on it. */
    readonly id: string;
    readonly type: K;
    /** When it happened, RFC 3339. */
    readonly time: string;
    readonly tenantId: string;
    readonly customerId: string;
    /** Ties together everything that one request caused. */
    readonly correlationId: string;
    /** Id of the event or command that caused this one. */
    readonly causationId?: string;
    /** W3C trace context of the transaction that wrote the event. */
    readonly traceparent?: string;
    readonly data: OrderEventData<K>;
  };
}[T];

/** The event that starts a payment. */
export type OrderCreatedEvent = OrderEvent<'order.created.v1'>;

/** Decides relay bucket and Kafka partition: a customer's orders of one tenant share a partition. */
export const partitionKey = (event: Pick<OrderEvent, 'tenantId' | 'customerId'>): string =>
  `${event.tenantId}:${event.customerId}`;

/** What order is promised for: the order's id. */
export const orderingKey = (event: { readonly data: { readonly orderId: string } }): string =>
  event.data.orderId;
