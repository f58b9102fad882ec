import type { BenchDatabase } from './bench-database.ts';

/** What a backlog consists of: keys are customers, aggregates are orders, three to four events each. */
const customers = 2_000;
const orders = 60_000;
const chunkSize = 100_000;

/** Events as an order service writes them: key 36 bytes, JSON of about 370, six headers of about 220. */
export async function writeBacklog(database: BenchDatabase, topic: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += chunkSize) {
    await database.query(
      `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers)
       SELECT id, get_byte(sha256(convert_to(customer, 'UTF8')), 0) % 64, $1, customer, 'order.paid.v1', 'order', "order",
              jsonb_build_object(
                'orderId', "order", 'customerId', customer, 'version', 3, 'state', 'PAID',
                'currency', 'EUR', 'totalMinor', 1000 + i % 90000, 'paymentMethod', 'tok_visa',
                'items', jsonb_build_array(
                  jsonb_build_object('sku', 'sku-' || i % 977, 'name', 'Assam, 250 g', 'quantity', 1, 'unitAmountMinor', 1250),
                  jsonb_build_object('sku', 'sku-' || i % 971, 'name', 'Teapot', 'quantity', 2, 'unitAmountMinor', 3490))),
              jsonb_build_object(
                'ce_id', id, 'ce_type', 'order.paid.v1', 'ce_source', '/order-api', 'content-type', 'application/json',
                'correlation-id', md5('c' || i)::uuid, 'traceparent', '00-' || md5('t' || i) || '-' || left(md5('s' || i), 16) || '-01')
       FROM (SELECT i, md5('event ' || i)::uuid AS id, md5('order ' || i % $4)::uuid::text AS "order",
                    md5('customer ' || i % $5)::uuid::text AS customer
             FROM generate_series($2::bigint, $3::bigint) AS i) AS e
       ORDER BY i`,
      [topic, from, Math.min(count, from + chunkSize) - 1, orders, customers],
    );
  }
  await database.query('VACUUM (ANALYZE) outbox');
}

/** A record as the raw producers send it. */
export interface BenchRecord {
  readonly key: string;
  readonly value: string;
  readonly headers: Record<string, string>;
}

/** The first records of a backlog, as the relay would publish them. */
export async function recordsOf(database: BenchDatabase, count: number): Promise<BenchRecord[]> {
  const { rows } = await database.query(
    'SELECT key, payload::text AS value, headers FROM outbox ORDER BY seq LIMIT $1',
    [count],
  );
  return rows;
}

/** Bytes of key, value and headers; what the protocol adds is not counted. */
export function bytesOf({ key, value, headers }: BenchRecord): number {
  const texts = [key, value, ...Object.entries(headers).flat()];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}
