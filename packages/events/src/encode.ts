import { type OrderEvent, orderingKey, partitionKey } from './order-event.ts';

/** Where our events come from (CloudEvents `source`). */
const source = '/orders';

/** The row that `outbox.add` takes. */
export interface EncodedOrderEvent {
  id: string;
  topic: string;
  key: string;
  type: string;
  aggregateType: string;
  orderingKey: string;
  payload: Record<string, unknown>;
  headers: Record<string, string>;
}

/**
 * The event as an outbox row: CloudEvents 1.0 in Kafka's binary mode (attributes as `ce_` headers, data as the
 * value), with our correlation headers beside them.
 */
export function toOutboxEvent(event: OrderEvent, topic: string): EncodedOrderEvent {
  return {
    id: event.id,
    topic,
    key: partitionKey(event),
    type: event.type,
    aggregateType: 'order',
    orderingKey: orderingKey(event),
    payload: event.data,
    headers: {
      ce_specversion: '1.0',
      ce_id: event.id,
      ce_type: event.type,
      ce_source: source,
      ce_time: event.time,
      ce_subject: orderingKey(event),
      ce_dataschema: `urn:orders:${event.type}`,
      'content-type': 'application/json',
      'correlation-id': event.correlationId,
      'tenant-id': event.tenantId,
      ...(event.causationId === undefined ? {} : { 'causation-id': event.causationId }),
      ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
    },
  };
}
