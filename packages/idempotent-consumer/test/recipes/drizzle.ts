// Drizzle: it works on the plain pg client that `pgTransaction` gives, so its statements are in the consumer's transaction.
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import type pg from 'pg';
import { type ConsumerOptions, createConsumer, pgTransaction, type RecordSource } from '../../src/index.ts';
import { type CountEvent, decodeCount } from '../counting.ts';

const counters = pgTable('counters', { name: text().primaryKey(), n: integer().notNull() });

export const countingConsumer = (
  source: RecordSource,
  pool: pg.Pool,
  options: Partial<ConsumerOptions<CountEvent, pg.PoolClient>> & { readonly consumerName: string },
) =>
  createConsumer(
    { source, transaction: pgTransaction(pool) },
    {
      decode: decodeCount,
      async handle(tx, { name }) {
        await drizzle({ client: tx })
          .insert(counters)
          .values({ name, n: 1 })
          .onConflictDoUpdate({ target: counters.name, set: { n: sql`${counters.n} + 1` } });
      },
      ...options,
    },
  );
