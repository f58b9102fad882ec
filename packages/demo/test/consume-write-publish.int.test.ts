import { createTestDatabase, uniqueName } from '@orders/dev-stack/testing';
import { createConsumer, pgTransaction } from '@orders/idempotent-consumer';
import { consumerSql } from '@orders/idempotent-consumer/migrations';
import { memorySource } from '@orders/idempotent-consumer/testing';
import { createOutbox } from '@orders/outbox';
import { outboxSql } from '@orders/outbox/migrations';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

describe('consume, write, publish: the two libraries in one transaction', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let pool: pg.Pool;

  beforeAll(async () => {
    database = await createTestDatabase({
      template: 'consume-write-publish',
      migrate: async (url) => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        await client.query(`${outboxSql()}; ${consumerSql()}; CREATE TABLE invoices (id text PRIMARY KEY)`);
        await client.end();
      },
    });
    pool = new pg.Pool({ connectionString: database.url, max: 5 });
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  async function setUp(misdeed: (attempt: number) => void = () => undefined) {
    const source = memorySource({ topics: ['orders.paid'] });
    const outbox = createOutbox();
    const consumer = createConsumer(
      { source, transaction: pgTransaction(pool) },
      {
        consumerName: uniqueName('invoicing'),
        decode: ({ value }) => {
          const id = Buffer.from(value ?? []).toString();
          return { kind: 'event', id, event: { orderId: id } };
        },
        async handle(tx, { orderId }, { attempt }) {
          await tx.query('INSERT INTO invoices VALUES ($1)', [orderId]);
          await outbox.add(tx, {
            topic: 'invoices',
            key: orderId,
            type: 'InvoiceWritten',
            payload: { orderId },
          });
          misdeed(attempt);
        },
        pollIntervalMs: 50,
        retry: { baseMs: 20, maxMs: 50 },
      },
    );
    await consumer.start();
    return { source, consumer };
  }

  const stands = async (id: string) => {
    const { rows } = await pool.query(
      `SELECT (SELECT count(*)::int FROM invoices WHERE id = $1) AS invoices,
         (SELECT count(*)::int FROM outbox WHERE key = $1) AS published,
         (SELECT count(*)::int FROM processed_events WHERE event_id = $1) AS processed`,
      [id],
    );
    return rows[0];
  };

  it('an event that is delivered three times is written and published once', async () => {
    const { source, consumer } = await setUp();
    const id = uniqueName('order');
    for (let i = 0; i < 3; i++) await source.deliver([{ key: id, value: id }]);
    expect(await stands(id)).toEqual({ invoices: 1, published: 1, processed: 1 });
    await consumer.stop();
  });

  it('of an event that fails nothing is written and nothing published, until it succeeds', async () => {
    let isBroken = true;
    const { source, consumer } = await setUp((attempt) => {
      if (isBroken || attempt === 1) throw new Error('not yet');
    });
    const id = uniqueName('order');
    await source.deliver([{ key: id, value: id }]);
    expect(await stands(id)).toEqual({ invoices: 0, published: 0, processed: 1 });
    isBroken = false;
    await expect
      .poll(() => stands(id), { timeout: 15_000 })
      .toEqual({ invoices: 1, published: 1, processed: 1 });
    await consumer.stop();
  });
});
