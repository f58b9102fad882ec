import { readReadme } from '@orders/dev-stack/readme';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bucketOf } from '../src/index.ts';
import { type OutboxDatabase, openTestDatabase } from './fixture.ts';

const readme = readReadme('packages/outbox').text;

let database: OutboxDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database?.close());

it("moves the rows of another polling table by the README's statement, in their order", async () => {
  const { pool } = database;
  await pool.query(`CREATE TABLE old_outbox (id bigint PRIMARY KEY, event_id uuid DEFAULT gen_random_uuid(),
    topic text, key text, type text, invoice_id text, payload jsonb)`);
  // Rows lie in any order, as in a table that has been in use.
  await pool.query(`INSERT INTO old_outbox (id, topic, key, type, invoice_id, payload)
    SELECT 2 * n + i, topic, 'c-' || n % 3, 'invoice.issued.v1', 'i-' || n, jsonb_build_object('n', n)
    FROM generate_series(1, 200) AS n, (VALUES (0, 'other.events'), (1, 'invoices.events')) AS t (i, topic)
    ORDER BY random()`);
  const { rows: before } = await pool.query(
    `SELECT event_id, key, invoice_id, payload FROM old_outbox WHERE topic = 'invoices.events' ORDER BY id`,
  );
  const [, statement = ''] = /^```sql\n(WITH moved .*?)^```$/ms.exec(readme) ?? [];
  await pool.query(statement);
  const { rows: moved } = await pool.query(
    `SELECT id AS event_id, key, aggregateid AS invoice_id, payload, bucket, topic, headers FROM outbox ORDER BY seq`,
  );
  expect(before).toHaveLength(200);
  expect(moved).toEqual(
    before.map((row) => ({
      ...row,
      bucket: bucketOf(row.key),
      topic: 'invoices.events',
      headers: { id: row.event_id },
    })),
  );
  const { rows: left } = await pool.query('SELECT DISTINCT topic FROM old_outbox');
  expect(left).toEqual([{ topic: 'other.events' }]);
});
