import type { EventContext } from '@orders/idempotent-consumer';
import type { Outbox } from '@orders/outbox';
import type pg from 'pg';
import type { OrderCreated } from './order-created.ts';

/**
 * Consume, write, publish: the note that this event was consumed, the notification, and the event that tells of it are
 * one transaction. Nothing here looks whether the event came before; nothing has to.
 */
export const notifyOf =
  (outbox: Outbox, topic: string) =>
  async (tx: pg.PoolClient, { orderId, customerId }: OrderCreated, { afterCommit }: EventContext) => {
    const { rows } = await tx.query<{ id: string }>(
      'INSERT INTO notifications (order_id, customer_id, text) VALUES ($1, $2, $3) RETURNING id',
      [orderId, customerId, `We have received your order ${orderId}.`],
    );
    await outbox.add(tx, {
      topic,
      key: customerId,
      orderingKey: customerId,
      type: 'notification.requested.v1',
      payload: { notificationId: rows[0]?.id, orderId, customerId },
      headers: { type: 'notification.requested.v1', 'content-type': 'application/json' },
    });
    afterCommit(() => outbox.wake(customerId)); // may be lost, which costs a poll interval
  };
