import { AsyncLocalStorage } from 'node:async_hooks';
import { type DatabaseHandle, inTransaction, type Tx } from '@orders/db';
import { createOrderEventDecoder, type OrderCreatedEvent } from '@orders/events';
import { createConsumer } from '@orders/idempotent-consumer';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import { acceptCreatedOrders } from '@orders/payments';
import type { createKafka, Logger } from '@orders/service-runtime';

/**
 * The consumer that turns `order.created` into payments: inbox, payments and order transitions of a fetched chunk
 * share one transaction. What was accepted is logged, and `afterCommit` called, once that transaction stands.
 */
export function createOrderIntake(
  deps: {
    kafka: ReturnType<typeof createKafka>;
    db: DatabaseHandle['db'];
    lifecycle: OrderLifecycle;
    logger: Logger;
    crashPoint: (point: string) => void;
    afterCommit: () => void;
  },
  options: { topic: string; workerId: string; groupId: string; sessionTimeoutMs: number },
) {
  const { kafka, db, lifecycle, logger, crashPoint, afterCommit } = deps;
  const { topic, ...consumerOptions } = options;
  const handled = new AsyncLocalStorage<OrderCreatedEvent[]>();

  async function transaction<R>(work: (tx: Tx) => Promise<R>): Promise<R> {
    const events: OrderCreatedEvent[] = [];
    const result = await handled.run(events, () => inTransaction(db, work));
    for (const event of events) logAccepted(logger, event);
    if (events.length > 0) afterCommit();
    return result;
  }

  async function handle(tx: Tx, events: OrderCreatedEvent[]): Promise<void> {
    await acceptCreatedOrders(tx, lifecycle, events);
    handled.getStore()?.push(...events);
  }

  return createConsumer<OrderCreatedEvent>(
    { kafka, transaction, logger, crashPoint },
    {
      ...consumerOptions,
      topics: [topic],
      decode: createOrderEventDecoder({ types: ['order.created.v1'] }),
      handle,
    },
  );
}

function logAccepted(logger: Logger, event: OrderCreatedEvent): void {
  const { id: eventId, correlationId, tenantId, data } = event;
  logger.info({ orderId: data.orderId, eventId, correlationId, tenantId }, 'order accepted for payment');
}
