import type { Database } from '@orders/db';
import type {
  Failure,
  OrderEvent,
  OrderEventData,
  OrderEventType,
  OrderItem,
  OrderState,
} from '@orders/events';
import type { Selectable } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import type { OrderCommand } from './transitions.ts';

/** An order as its table holds it. Amounts in the currency's minor unit. */
export interface Order {
  readonly id: string;
  readonly tenantId: string;
  readonly customerId: string;
  readonly state: OrderState;
  /** 1 for a new order, one more with every transition. */
  readonly version: number;
  readonly currency: string;
  readonly totalMinor: number;
  readonly paymentMethod: string;
  readonly items: readonly OrderItem[];
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Set while FAILED or in REVIEW. */
  readonly failure: Failure | null;
  readonly correlationId: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The order of a row of `orders`. */
export function orderOf(row: Selectable<Database['orders']>): Order {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    customerId: row.customer_id,
    state: row.state,
    version: row.version,
    currency: row.currency,
    totalMinor: row.total_minor,
    paymentMethod: row.payment_method,
    items: row.items,
    metadata: row.metadata,
    failure:
      row.failure_code === null ? null : { code: row.failure_code, attempts: row.failure_attempts ?? 0 },
    correlationId: row.correlation_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** What the event of a transition carries beside the order itself. */
export interface EventOrigin {
  readonly causationId?: string | undefined;
  readonly traceparent?: string | undefined;
}

/** The event that says how `order` came to its present state. */
export function eventOf(
  order: Order,
  type: OrderEventType,
  command: OrderCommand | null,
  origin: EventOrigin,
) {
  const event = {
    id: uuidv7(),
    type,
    time: order.updatedAt.toISOString(),
    tenantId: order.tenantId,
    customerId: order.customerId,
    correlationId: order.correlationId,
    ...(origin.causationId === undefined ? {} : { causationId: origin.causationId }),
    ...(origin.traceparent === undefined ? {} : { traceparent: origin.traceparent }),
    data: dataOf(order, type, command),
  };
  return event as OrderEvent;
}

function dataOf(order: Order, type: OrderEventType, command: OrderCommand | null): OrderEventData {
  const base = { orderId: order.id, version: order.version, state: order.state };
  const money = {
    amountMinor: command !== null && 'amountMinor' in command ? command.amountMinor : order.totalMinor,
    currency: order.currency,
  };
  switch (type) {
    case 'order.created.v1':
      return {
        ...base,
        customerId: order.customerId,
        currency: order.currency,
        totalMinor: order.totalMinor,
        paymentMethod: order.paymentMethod,
        items: [...order.items],
        ...(order.metadata === null ? {} : { metadata: { ...order.metadata } }),
      } as OrderEventData<'order.created.v1'>;
    case 'order.paid.v1':
    case 'order.refund_requested.v1':
    case 'order.refunded.v1':
      return { ...base, ...money } as OrderEventData<'order.paid.v1'>;
    case 'order.failed.v1':
    case 'order.review.v1':
      return { ...base, failure: order.failure } as OrderEventData<'order.failed.v1'>;
    default:
      return base as OrderEventData<'order.cancelled.v1'>;
  }
}
