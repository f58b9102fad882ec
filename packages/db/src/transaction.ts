import type { Kysely, Transaction } from 'kysely';
import { DbError } from './errors.ts';
import type { Database } from './tables.ts';

/** A transaction of ours: what every write that must be atomic with others takes as its first argument. */
export type Tx = Transaction<Database>;

/**
 * Runs `work` in one READ COMMITTED transaction and resolves only after the server has confirmed the commit.
 *
 * If `work` throws, the transaction is rolled back and that very error is thrown.
 * @throws DbError `DB_TRANSACTION_ABORTED`: nothing was stored; `DB_COMMIT_UNKNOWN`: the caller has to look
 */
export async function inTransaction<R>(db: Kysely<Database>, work: (tx: Tx) => Promise<R>): Promise<R> {
  const tx = await db.startTransaction().setIsolationLevel('read committed').execute();
  const rollback = async () => {
    // A rollback fails when the connection is gone. It says less than the error that led to it, and nothing is
    // left to do: the driver discards the connection, and the server rolls back what it was in the middle of.
    await tx
      .rollback()
      .execute()
      .catch(() => undefined);
  };

  let result: R;
  try {
    result = await work(tx);
  } catch (error) {
    await rollback();
    throw error;
  }
  try {
    await tx.commit().execute();
  } catch (error) {
    await rollback();
    throw commitFailure(error as CommitError);
  }
  return result;
}

type CommitError = Error & { code?: string };

function commitFailure(error: CommitError): Error {
  if (error.name === 'AbortedTransactionError') {
    const message =
      'nothing was stored: a statement of this transaction had failed and its error was ignored';
    return new DbError('DB_TRANSACTION_ABORTED', message, { cause: error });
  }
  // The server answered that this COMMIT failed (a deferred constraint, a serialisation failure): it is sure.
  if (error.code !== undefined && /^[0-9A-Z]{5}$/.test(error.code) && !/^(08|57P)/.test(error.code))
    return error;
  const message = `no answer to COMMIT, the transaction may or may not stand: ${error.message}`;
  return new DbError('DB_COMMIT_UNKNOWN', message, { cause: error });
}
