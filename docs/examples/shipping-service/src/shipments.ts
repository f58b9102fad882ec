import type { Outbox, OutboxEvent } from '@orders/outbox';
import type pg from 'pg';
import { inTransaction } from './transaction.ts';

export interface Shipment {
  id: string;
  destination: string;
  carrier: string | null;
  state: 'CREATED' | 'DISPATCHED';
}

/** All changes are safe to repeat: the caller chooses the id, and what changed nothing is no event. */
export function createShipments({ pool, outbox, topic }: { pool: pg.Pool; outbox: Outbox; topic: string }) {
  const create = (id: string, destination: string) =>
    change(
      'shipment.created.v1',
      `INSERT INTO shipments (id, destination) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING *`,
      [id, destination],
    );

  const dispatch = (id: string, carrier: string) =>
    change(
      'shipment.dispatched.v1',
      `UPDATE shipments SET state = 'DISPATCHED', carrier = $2 WHERE id = $1 AND state = 'CREATED' RETURNING *`,
      [id, carrier],
    );

  /**
   * The row and its event in one transaction: both exist, or neither. Changing the row locks it until the commit, so
   * the events of one shipment are written one after the other, which is what their order on the topic rests on.
   */
  async function change(type: string, sql: string, values: [id: string, value: string]) {
    const shipment = await inTransaction(pool, async (tx) => {
      const { rows } = await tx.query<Shipment>(sql, values);
      if (rows[0]) await outbox.add(tx, eventOf(type, rows[0]));
      return rows[0];
    });
    outbox.wake(values[0]);
    return shipment ?? find(values[0]);
  }

  async function find(id: string): Promise<Shipment | undefined> {
    const { rows } = await pool.query<Shipment>('SELECT * FROM shipments WHERE id = $1', [id]);
    return rows[0];
  }

  const eventOf = (type: string, shipment: Shipment): OutboxEvent => ({
    topic,
    key: shipment.id, // decides the Kafka partition
    orderingKey: shipment.id, // what order is promised for
    type,
    payload: shipment,
    headers: { type, 'content-type': 'application/json' }, // beside the id that is made for each event
  });

  return { create, dispatch, find };
}

export type Shipments = ReturnType<typeof createShipments>;
