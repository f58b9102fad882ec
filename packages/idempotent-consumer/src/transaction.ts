import { ConsumerError } from './errors.ts';
import type { RawQuery } from './raw-query.ts';

/**
 * A Kysely `Transaction`, whatever its database type. A `Kysely` instance is not one: its `isTransaction` is a plain
 * boolean, so handing over the pool does not compile.
 */
export interface KyselyTransaction {
  readonly isTransaction: true;
  executeQuery(query: RawQuery): Promise<{ readonly rows: unknown[] }>;
}

/**
 * A connection between BEGIN and COMMIT; pg's `Client` and `PoolClient` fit. A pg `Pool` does not: it would send each
 * statement on whatever connection is free.
 */
export interface PgTransaction {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
  /** Only pools have one. */
  readonly totalCount?: never;
}

/** The caller's transaction. */
export type ConsumerTransaction = KyselyTransaction | PgTransaction;

/**
 * Runs `work` in one transaction; resolves only when it is committed, throws when it is not.
 *
 * `signal` is aborted when a handler has run for too long. The transaction must then not be committed, and its
 * connection must not be used again: see {@link pgTransaction}. With a function that does not look at the signal the
 * consumer ends the transaction's backend over another connection.
 */
export type RunTransaction<Tx extends ConsumerTransaction> = <R>(
  work: (tx: Tx) => Promise<R>,
  options: { readonly signal: AbortSignal },
) => Promise<R>;

/** The part of pg's `Pool` that {@link pgTransaction} uses. */
export interface PgPool {
  connect(): Promise<PgPoolClient>;
}

/** What a pool gives out; pg declares `connect` a second time, for callbacks. */
export type PgClientOf<Pool extends PgPool> = Pool extends {
  connect: { (): Promise<infer Client extends PgPoolClient>; (callback: never): void };
}
  ? Client
  : PgPoolClient;

/** The part of pg's `PoolClient` that {@link pgTransaction} uses. */
export interface PgPoolClient extends PgTransaction {
  release(destroy?: boolean): void;
}

/**
 * Transactions on a plain pg pool, READ COMMITTED, for the `transaction` of a consumer. A connection whose work was
 * aborted, or that did not answer to ROLLBACK, is closed and leaves the pool.
 */
export function pgTransaction<Pool extends PgPool>(pool: Pool): RunTransaction<PgClientOf<Pool>> {
  return async (work, { signal }) => {
    const client = (await pool.connect()) as PgClientOf<Pool>;
    let isReleased = false;
    const release = (destroy: boolean) => {
      if (!isReleased) client.release(destroy);
      isReleased = true;
    };
    const breakOff = () => release(true);
    signal.addEventListener('abort', breakOff);
    try {
      await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
      const result = await work(client);
      signal.throwIfAborted();
      await commit(client);
      return result;
    } catch (error) {
      await (isReleased ? undefined : client.query('ROLLBACK').catch(breakOff));
      throw error;
    } finally {
      signal.removeEventListener('abort', breakOff);
      release(false);
    }
  };
}

async function commit(client: PgTransaction): Promise<void> {
  const { command } = (await client.query('COMMIT')) as { command?: string };
  // PostgreSQL answers ROLLBACK, without an error, where a failed statement was swallowed.
  if (command === 'ROLLBACK') {
    const message =
      'nothing was stored: a statement of this transaction had failed and its error was ignored';
    throw new ConsumerError('CONSUMER_TRANSACTION_ABORTED', message);
  }
}

/** The part of Kysely that {@link kyselyTransaction} uses. */
export interface KyselyDatabase<Tx extends KyselyTransaction> {
  transaction(): {
    setIsolationLevel(level: 'read committed'): {
      execute<R>(work: (tx: Tx) => Promise<R>): Promise<R>;
    };
  };
}

/**
 * Transactions of Kysely, READ COMMITTED, for the `transaction` of a consumer. The backend of a handler that has run
 * for too long is terminated over another connection of the pool.
 */
export const kyselyTransaction =
  <Tx extends KyselyTransaction>(db: KyselyDatabase<Tx>): RunTransaction<Tx> =>
  (work) =>
    db.transaction().setIsolationLevel('read committed').execute(work);
