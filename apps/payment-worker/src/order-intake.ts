import { type DatabaseHandle, inTransaction, type Tx } from '@orders/db';
import { createOrderEventDecoder, deadLetterEvent, type OrderCreatedEvent } from '@orders/events';
import {
  type BatchContext,
  type ConsumerMetrics,
  createConsumer,
  type StoredDeadLetter,
} from '@orders/idempotent-consumer';
import { kafkajsSource } from '@orders/idempotent-consumer/kafkajs';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import type { Outbox } from '@orders/outbox';
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
    outbox: Pick<Outbox, 'add'>;
    logger: Logger;
    metrics: ConsumerMetrics;
    crashPoint: (point: string) => void;
    afterCommit: () => void;
  },
  options: {
    topic: string;
    deadLettersTopic: string;
    consumerName: string;
    groupId: string;
    sessionTimeoutMs: number;
    stopTimeoutMs: number;
    handleTimeoutMs: number;
  },
) {
  const { kafka, db, lifecycle, outbox, logger, metrics, crashPoint, afterCommit } = deps;
  const { topic, deadLettersTopic, consumerName, handleTimeoutMs, ...membership } = options;

  async function handleBatch(tx: Tx, events: OrderCreatedEvent[], context: BatchContext): Promise<void> {
    const acceptance = await acceptCreatedOrders(tx, lifecycle, events);
    context.afterCommit(() => {
      logAcceptance(logger, events, acceptance);
      afterCommit();
    });
  }

  const deadLetterSink = {
    async add(tx: Tx, deadLetters: readonly StoredDeadLetter[]): Promise<void> {
      await outbox.add(
        tx,
        deadLetters.map((letter) => deadLetterEvent(letter, { topic: deadLettersTopic })),
      );
    },
  };

  return createConsumer(
    {
      source: kafkajsSource({ kafka }, { ...membership, topics: [topic] }),
      transaction: (work) => inTransaction(db, work),
      deadLetterSink,
      logger,
      metrics,
      crashPoint,
    },
    {
      consumerName,
      decode: createOrderEventDecoder({ types: ['order.created.v1'] }),
      orderingKey: ({ data }) => data.orderId,
      handleBatch,
      handleTimeoutMs,
      retention: {}, // 30 days, far beyond what the topic keeps
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
