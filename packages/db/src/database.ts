import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { createClient } from './client.ts';
import type { Database } from './tables.ts';

/** How to reach PostgreSQL, and how long anything may take there. Times in milliseconds. */
export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database`, user and password percent-encoded; TLS by its `sslmode`. */
  readonly url: string;
  /** Connections at most (10). */
  readonly poolMax?: number;
  /** Longest statement, waiting for locks included (5 s). */
  readonly statementTimeoutMs?: number;
  /** Longest wait for one lock (3 s). */
  readonly lockTimeoutMs?: number;
  /** After this silence inside a transaction the server ends the session and frees its locks (5 s). */
  readonly idleInTransactionTimeoutMs?: number;
  /** How much longer than the server we wait for the answer to a statement before we give up its connection (5 s). */
  readonly answerMarginMs?: number;
  /** Longest wait for a connection, be it a free one of the pool or a new one (10 s). */
  readonly acquireTimeoutMs?: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName?: string;
  /** Told about connections that broke; the pool replaces them by itself. */
  readonly logger?: { warn(fields: object, message: string): void };
}

/** A pool and the query builder on it. */
export interface DatabaseHandle {
  readonly db: Kysely<Database>;
  /** The same connections, for libraries that take a pool. */
  readonly pool: pg.Pool;
  /** Waits for queries in flight, then closes every connection. Further calls wait for the first. */
  close(): Promise<void>;
}

/**
 * Shorter than the shortest lease (the relay's 10 s): a process that is stopped in the middle of a transaction
 * must let go of its rows before another process takes over its work.
 */
const defaults = {
  statementTimeoutMs: 5_000,
  lockTimeoutMs: 3_000,
  idleInTransactionTimeoutMs: 5_000,
  answerMarginMs: 5_000,
  acquireTimeoutMs: 10_000,
  poolMax: 10,
};

const keepAliveDelayMs = 5_000;

/**
 * Opens a pool; connections are made when they are needed. `bigint` columns are read as numbers.
 * @throws DbError `DB_URL_INVALID`
 */
export function createDatabase(options: DatabaseOptions): DatabaseHandle {
  createClient({ connectionString: options.url }); // refuses a URL that cannot be read now, not at the first query
  const statementTimeoutMs = options.statementTimeoutMs ?? defaults.statementTimeoutMs;
  const answerMarginMs = options.answerMarginMs ?? defaults.answerMarginMs;
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.poolMax ?? defaults.poolMax,
    connectionTimeoutMillis: options.acquireTimeoutMs ?? defaults.acquireTimeoutMs,
    statement_timeout: statementTimeoutMs,
    // The server's time-outs say nothing when the network has swallowed the server.
    query_timeout: statementTimeoutMs === 0 ? undefined : statementTimeoutMs + answerMarginMs,
    lock_timeout: options.lockTimeoutMs ?? defaults.lockTimeoutMs,
    idle_in_transaction_session_timeout:
      options.idleInTransactionTimeoutMs ?? defaults.idleInTransactionTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveDelayMs,
    Client: createClient as unknown as typeof pg.Client, // `new` gives what a function returns
  } as pg.PoolConfig);
  const onError = (error: Error) =>
    options.logger?.warn({ err: error }, 'a connection to PostgreSQL broke; the pool replaces it');
  pool.on('error', onError);
  // pg-pool listens to idle connections only. One that is ended by the server while it is checked out and no
  // query is running would otherwise be an uncaught 'error' event, which ends the process.
  pool.on('connect', (client) => {
    client.on('error', onError);
    closeWhenUnanswered(client);
  });

  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  let closing: Promise<void> | undefined;
  return {
    db,
    pool,
    close() {
      closing ??= closeAll(db, pool);
      return closing;
    },
  };
}

/**
 * Ends a connection as soon as a query on it has been given up. pg goes on using it: the next query would wait behind
 * the same silence, or, if the late answer is that of a BEGIN, write into a transaction that nobody commits.
 */
function closeWhenUnanswered(client: pg.PoolClient): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const watched = (...args: unknown[]) => {
    const result = query(...args);
    // Whoever passes a callback, as the pool's own query does, gives the connection back with its error.
    if (result instanceof Promise) {
      result.catch((error: Error) => {
        if (error.message === 'Query read timeout') void (client as unknown as pg.Client).end();
      });
    }
    return result;
  };
  client.query = watched as typeof client.query;
}

async function closeAll(db: Kysely<Database>, pool: pg.Pool): Promise<void> {
  await db.destroy();
  if (!pool.ending) await pool.end(); // Kysely ends only a pool that it has used
}
