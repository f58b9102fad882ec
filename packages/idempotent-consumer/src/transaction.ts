import { ConsumerError } from './errors.ts';
import type { RawQuery } from './raw-query.ts';
import { asError } from './reason.ts';

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
 * consumer terminates the transaction's backend. Listen to the `error` events of your pool and of its clients: pg ends a
 * process that nobody listens in when a connection breaks.
 */
export type RunTransaction<Tx extends ConsumerTransaction> = <R>(
  work: (tx: Tx) => Promise<R>,
  options: { readonly signal: AbortSignal },
) => Promise<R>;

/**
 * Runs `work` by `transaction`, and throws what `work` threw as it was. A transaction function may wrap it, or throw in
 * its place how ROLLBACK failed on a connection that is dead.
 */
export async function runIn<Tx extends ConsumerTransaction, R>(
  transaction: RunTransaction<Tx>,
  work: (tx: Tx) => Promise<R>,
  signal: AbortSignal = new AbortController().signal,
): Promise<R> {
  let thrown: readonly unknown[] = [];
  try {
    return await transaction(
      async (tx) => {
        thrown = [];
        try {
          return await work(tx);
        } catch (error) {
          thrown = [error];
          // Kysely rolls nothing back when it fails at reading what was thrown.
          throw asError(error);
        }
      },
      { signal },
    );
  } catch (error) {
    throw thrown.length === 0 ? error : thrown[0];
  }
}

/** The part of pg's `Pool` that {@link pgTransaction} uses. */
export interface PgPool<Client extends PgPoolClient> {
  connect(): Promise<Client>;
  /** Not used. TypeScript infers the client's type from pg's `Pool` only if both of its forms are here. */
  connect(callback: (...results: never[]) => void): void;
}

/** The part of pg's `PoolClient` that {@link pgTransaction} uses. */
export interface PgPoolClient extends PgTransaction {
  release(destroy?: boolean): void;
}

/**
 * Transactions on a plain pg pool, READ COMMITTED, for the `transaction` of a consumer. A connection whose work was
 * aborted, or that did not answer to ROLLBACK, is closed and leaves the pool.
 */
export function pgTransaction<Client extends PgPoolClient>(pool: PgPool<Client>): RunTransaction<Client> {
  return async (work, { signal }) => {
    const client = await pool.connect();
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
