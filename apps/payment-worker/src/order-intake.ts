import { AsyncLocalStorage } from 'node:async_hooks';
import { type DatabaseHandle, inTransaction, type Tx } from '@orders/db';
import { createOrderEventDecoder, type OrderCreatedEvent } from '@orders/events';
import { createConsumer } from '@orders/idempotent-consumer';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import { type Acceptance, acceptCreatedOrders } from '@orders/payments';
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
  options: {
    topic: string;
    workerId: string;
    groupId: string;
    sessionTimeoutMs: number;
    stopTimeoutMs: number;
  },
) {
  const { kafka, db, lifecycle, logger, crashPoint, afterCommit } = deps;
  const { topic, ...consumerOptions } = options;
  const stories = new AsyncLocalStorage<(() => void)[]>();

  async function transaction<R>(work: (tx: Tx) => Promise<R>): Promise<R> {
    const story: (() => void)[] = [];
    const result = await stories.run(story, () => inTransaction(db, work));
    for (const tell of story) tell();
    if (story.length > 0) afterCommit();
    return result;
  }

  async function handle(tx: Tx, events: OrderCreatedEvent[]): Promise<void> {
    const acceptance = await acceptCreatedOrders(tx, lifecycle, events);
    stories.getStore()?.push(() => logAcceptance(logger, events, acceptance));
  }

  return createConsumer(
    { kafka, transaction, logger, crashPoint },
    {
      ...consumerOptions,
      topics: [topic],
      decode: createOrderEventDecoder({ types: ['order.created.v1'] }),
      handle,
    },
  );
}

function logAcceptance(logger: Logger, events: readonly OrderCreatedEvent[], acceptance: Acceptance): void {
  const accepted = new Set(acceptance.accepted);
  const missing = new Set(acceptance.missing);
  for (const { id: eventId, correlationId, tenantId, data } of events) {
    const orderId = data.orderId.toLowerCase();
    const fields = { orderId, eventId, correlationId, tenantId };
    if (accepted.has(orderId)) logger.info(fields, 'order accepted for payment');
    else if (missing.has(orderId)) logger.error(fields, 'an event of an order that is not in this database');
    else logger.info(fields, 'order needs no new payment');
  }
}
