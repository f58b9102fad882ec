import { createHash } from 'node:crypto';
import type { OutboxEvent } from '@orders/outbox';

const customers = 2_000;

/** Name of the header that numbers the events of a writer. */
export const numberHeader = 'bench-n';

/** An event of about 640 bytes as a record, like those of the backlog. @param topic to be published to */
export function eventOf(n: number, topic: string): OutboxEvent & { id: string; payload: object } {
  const id = uuidOf(`event ${n}`);
  const customer = uuidOf(`customer ${n % customers}`);
  const order = uuidOf(`order ${n}`);
  const items = [
    { sku: `sku-${n % 977}`, name: 'Assam, 250 g', quantity: 1, unitAmountMinor: 1250 },
    { sku: `sku-${n % 971}`, name: 'Teapot', quantity: 2, unitAmountMinor: 3490 },
  ];
  return {
    id,
    topic,
    key: customer,
    orderingKey: order,
    type: 'order.created.v1',
    aggregateType: 'order',
    payload: {
      ...{ orderId: order, tenantId: 'acme', customerId: customer, version: 1, state: 'CREATED' },
      ...{ currency: 'EUR', totalMinor: 1000 + (n % 90_000), paymentMethod: 'tok_sim_approve', items },
    },
    headers: {
      ...{ ce_id: id, ce_type: 'order.created.v1', ce_source: '/order-api' },
      ...{ 'content-type': 'application/json', 'correlation-id': uuidOf(`correlation ${n}`) },
      [numberHeader]: String(n),
    },
  };
}

function uuidOf(text: string): string {
  const hex = createHash('md5').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
