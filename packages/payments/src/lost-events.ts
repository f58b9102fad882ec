import type { Database, Tx } from '@orders/db';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import { type Kysely, sql } from 'kysely';
import { acceptCreatedOrders } from './accept.ts';

/** An order that nobody has accepted, and its first event. */
export interface LostEvent {
  readonly orderId: string;
  readonly correlationId: string;
  readonly eventId: string;
}

/**
 * Orders that nobody has accepted: their event was lost between outbox and here, or its inbox row was written
 * without its payment. In the order of their ids, behind `after`.
 */
export function findLostEvents(
  db: Kysely<Database>,
  { graceMs, after, limit }: { graceMs: number; after: string; limit: number },
): Promise<LostEvent[]> {
  return db
    .selectFrom('orders as o')
    .innerJoin('order_events as e', (join) => join.onRef('e.order_id', '=', 'o.id').on('e.version', '=', 1))
    .select(['o.id as orderId', 'o.correlation_id as correlationId', 'e.event_id as eventId'])
    .where('o.state', '=', 'CREATED')
    .where('o.created_at', '<', sql<Date>`statement_timestamp() - ${graceMs} * interval '1 millisecond'`)
    .where('o.id', '>', after)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('payments as p').select('p.id').whereRef('p.order_id', '=', 'o.id'))),
    )
    .orderBy('o.id')
    .limit(limit)
    .execute();
}

/** Accepts it from the order's own first event. It is counted: it should not happen. */
export async function acceptLost(
  tx: Tx,
  lifecycle: Pick<OrderLifecycle, 'transitionOrders'>,
  { orderId, eventId }: LostEvent,
): Promise<boolean> {
  const { accepted } = await acceptCreatedOrders(tx, lifecycle, [{ id: eventId, data: { orderId } }]);
  return accepted.length > 0;
}
