import type { ConsumedRecord, Decoded } from '@orders/idempotent-consumer';

/** What we need of an order; we know its events from the topic only. */
export interface OrderCreated {
  readonly orderId: string;
  readonly customerId: string;
}

const handledType = 'order.created.v1';

/** Skips other types; a record of this type that lacks something becomes a dead letter, and the others go on. */
export function decodeOrderCreated({ headers, value }: ConsumedRecord): Decoded<OrderCreated> {
  if (headers.ce_type?.toString() !== handledType) return { kind: 'skip' };
  const id = headers.ce_id?.toString();
  if (!id || value === null) return { kind: 'invalid', reason: 'no id or no value', eventId: id };
  const { orderId, customerId } = JSON.parse(Buffer.from(value).toString());
  if (typeof orderId !== 'string' || typeof customerId !== 'string')
    return { kind: 'invalid', reason: 'no orderId or no customerId', eventId: id };
  return { kind: 'event', id, event: { orderId, customerId } };
}
