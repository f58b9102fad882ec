import { groupCaughtUp, headerOf, readTopic, type System } from '@orders/demo';
import { type LedgerEntry, waitFor } from '@orders/dev-stack';

/** Everything that a run left behind, in the words of those who keep it. */
export interface RunRecords {
  readonly orders: readonly { id: string; state: string; version: number }[];
  /** By order and version. */
  readonly orderEvents: readonly { orderId: string; version: number; eventId: string; type: string }[];
  readonly outbox: readonly { eventId: string; published: boolean }[];
  /** Ids of the events on the topic, one list for each partition, in the order of the offsets. */
  readonly topic: readonly (readonly string[])[];
  /** Ids of the events that the payment worker accepted. */
  readonly inbox: readonly string[];
  /** Those of the consumer and those of the relay. */
  readonly deadLetters: number;
  /** The gateway's own books. */
  readonly ledger: readonly LedgerEntry[];
}

const settleTimeoutMs = 60_000;

/** Waits until nothing is left to do: no order open, no event unpublished, no record unread. */
export async function settled(system: System): Promise<void> {
  const { pool, kafkaBrokers, topic, consumerGroup } = system;
  await waitFor(
    'all orders to be PAID or FAILED and all events published',
    async () => {
      const { rows } = await pool.query(`
        SELECT (SELECT count(*) FROM orders WHERE state NOT IN ('PAID', 'FAILED'))
             + (SELECT count(*) FROM outbox WHERE published_at IS NULL) AS open`);
      return rows[0].open === '0';
    },
    { timeoutMs: settleTimeoutMs },
  );
  await groupCaughtUp(kafkaBrokers, topic, consumerGroup);
}

/** Reads it all; the topic by a consumer of its own, the gateway's books from its file. */
export async function readRecords(system: System): Promise<RunRecords> {
  const { pool, simulator } = system;
  const [orders, orderEvents, outbox, inbox, letters] = await Promise.all([
    pool.query('SELECT id, state, version FROM orders'),
    pool.query(`SELECT order_id AS "orderId", version, event_id AS "eventId", type FROM order_events
                ORDER BY order_id, version`),
    pool.query(`SELECT id AS "eventId", published_at IS NOT NULL AS published FROM outbox`),
    pool.query(`SELECT event_id FROM processed_events WHERE worker_id = 'payment-worker'`),
    pool.query(`SELECT (SELECT count(*) FROM dead_letter_events) + (SELECT count(*) FROM outbox_dead_letters)
                AS count`),
  ]);
  return {
    orders: orders.rows,
    orderEvents: orderEvents.rows,
    outbox: outbox.rows,
    topic: await eventsByPartition(system),
    inbox: inbox.rows.map((row) => row.event_id),
    deadLetters: Number(letters.rows[0].count),
    ledger: await simulator.ledger(),
  };
}

async function eventsByPartition({ kafkaBrokers, topic }: System): Promise<string[][]> {
  const partitions = new Map<number, string[]>();
  for (const record of await readTopic(kafkaBrokers, topic)) {
    const events = partitions.get(record.partition) ?? [];
    partitions.set(record.partition, events);
    events.push(headerOf(record, 'ce_id'));
  }
  return [...partitions.values()];
}
