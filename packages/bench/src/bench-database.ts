import { consumerSql } from '@orders/idempotent-consumer/migrations';
import { outboxSql } from '@orders/outbox/migrations';
import pg from 'pg';

/** A database of the bench's server. */
export interface BenchDatabase {
  readonly url: string;
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  drop(): Promise<void>;
}

let made = 0;

/** With the outbox's tables, empty. */
export async function createBenchDatabase(adminUrl: string): Promise<BenchDatabase> {
  const database = await createdAs(adminUrl, '');
  await database.query(outboxSql());
  return database;
}

/** With the consumer's tables, empty, and one for what its handler writes. */
export async function createConsumerDatabase(adminUrl: string): Promise<BenchDatabase> {
  const database = await createdAs(adminUrl, '');
  await database.query(consumerSql());
  await database.query('CREATE TABLE bench_effects (n int NOT NULL)');
  return database;
}

/** Empties the consumer's tables, behind a checkpoint, so that every measurement begins alike. */
export async function emptyConsumerDatabase(database: BenchDatabase): Promise<void> {
  await database.query(
    'TRUNCATE processed_events, scheduled_events, dead_letter_events, consumer_chunk_starts, bench_effects',
  );
  await database.query('CHECKPOINT');
}

/**
 * A copy, file by file, so that every round begins with the same pages in the same state; it ends in a checkpoint.
 * @param original nobody may be connected to it
 */
export function copyBenchDatabase(adminUrl: string, original: BenchDatabase): Promise<BenchDatabase> {
  return createdAs(adminUrl, `TEMPLATE ${nameOf(original.url)} STRATEGY FILE_COPY`);
}

async function createdAs(adminUrl: string, how: string): Promise<BenchDatabase> {
  made += 1;
  const name = `bench_${process.pid}_${made}`;
  await onceOn(adminUrl, `CREATE DATABASE ${name} ${how}`);
  const url = Object.assign(new URL(adminUrl), { pathname: `/${name}` }).href;
  return {
    url,
    query: (text, values) => onceOn(url, text, values),
    async drop() {
      await onceOn(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);

/** On a connection that is closed at once: a database with connections cannot be copied. */
async function onceOn(url: string, text: string, values?: unknown[]): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(text, values);
  } finally {
    await client.end();
  }
}
