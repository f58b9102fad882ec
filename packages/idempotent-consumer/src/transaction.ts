import type { QueryExecutorProvider } from 'kysely';
import { ConsumerError } from './errors.ts';

/**
 * A Kysely `Transaction`, whatever its database type. A `Kysely` instance is not one: its `isTransaction` is a plain
 * boolean, so handing over the pool does not compile.
 */
export interface ConsumerTransaction extends QueryExecutorProvider {
  readonly isTransaction: true;
}

/** Runs `work` in one transaction; resolves only when it is committed, throws when it is not. */
export type RunTransaction<Tx extends ConsumerTransaction> = <R>(work: (tx: Tx) => Promise<R>) => Promise<R>;

/** @throws ConsumerError `CONSUMER_NOT_IN_TRANSACTION`: for callers whose compiler did not look */
export function assertTransaction(tx: ConsumerTransaction): void {
  if (tx.isTransaction !== true) {
    const message = 'the inbox row and what the handler writes must share one transaction; this is none';
    throw new ConsumerError('CONSUMER_NOT_IN_TRANSACTION', message);
  }
}
