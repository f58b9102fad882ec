import { countRows } from './answers.ts';
import { OutboxError } from './errors.ts';

/** A statement as Kysely's `executeQuery` takes it; it fits Kysely's `CompiledQuery` without needing its types. */
export interface RawQuery {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: {
    readonly kind: 'RawNode';
    readonly sqlFragments: readonly string[];
    readonly parameters: readonly never[];
  };
  readonly queryId: { readonly queryId: string };
}

/**
 * A Kysely `Transaction`, whatever its database type. A `Kysely` instance is not one: its `isTransaction` is a plain
 * boolean, so handing over the pool does not compile.
 */
export interface KyselyTransaction {
  readonly isTransaction: true;
  executeQuery(query: RawQuery): Promise<{ readonly rows: unknown[]; readonly numAffectedRows?: bigint }>;
  /** The same transaction without what would change its answers. */
  withoutPlugins?(): KyselyTransaction;
}

/**
 * A connection between BEGIN and COMMIT; pg's `Client` and `PoolClient` fit. A pg `Pool` does not: it would send each
 * statement on whatever connection is free.
 */
export interface PgTransaction {
  query(text: string, values?: unknown[]): Promise<{ readonly rowCount: number | null }>;
  /** Only pools have one. */
  readonly totalCount?: never;
}

/** The caller's transaction. */
export type OutboxTransaction = KyselyTransaction | PgTransaction;

/** @returns how many rows the statement returned or changed */
export async function runInTransaction(
  tx: OutboxTransaction,
  sql: string,
  values: readonly unknown[] = [],
): Promise<number> {
  if ('executeQuery' in tx) {
    const plain = tx.withoutPlugins?.() ?? tx;
    const { rows, numAffectedRows } = await plain.executeQuery(rawQuery(sql, values));
    return Number(numAffectedRows ?? rows.length);
  }
  if ('totalCount' in tx) throw notInTransaction('this is a pool');
  return countRows(tx, sql, [...values]);
}

/** A statement for `executeQuery`. */
export function rawQuery(sql: string, parameters: readonly unknown[] = []): RawQuery {
  return {
    sql,
    parameters,
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'outbox' },
  };
}

/** True in SQL for a transaction that has written before, or that has been through {@link runOnlyInTransaction}. */
export const inTransactionSql = `(pg_current_xact_id_if_assigned() IS NOT NULL
        OR current_setting('outbox.in_transaction', true) = '1')`;

/**
 * Runs a statement that does something, and says so by its count, only where {@link inTransactionSql} holds. A
 * transaction that has written before has an id, which an autocommitted statement does not have when its condition is
 * evaluated; so the usual case (first the change, then its event) costs no extra round trip.
 * @throws OutboxError `OUTBOX_NOT_IN_TRANSACTION`
 */
export async function runOnlyInTransaction(
  tx: OutboxTransaction,
  sql: string,
  values: readonly unknown[],
): Promise<void> {
  if ((await runInTransaction(tx, sql, values)) > 0) return;
  // Either this transaction has written nothing yet, or there is none: a local setting outlives the statement
  // that makes it only inside a transaction.
  await runInTransaction(tx, `SELECT set_config('outbox.in_transaction', '1', true)`);
  if ((await runInTransaction(tx, sql, values)) > 0) return;
  throw notInTransaction('this is none, or it is over');
}

function notInTransaction(problem: string): OutboxError {
  return new OutboxError(
    'OUTBOX_NOT_IN_TRANSACTION',
    `the event and the change it tells of must share one transaction; ${problem}`,
  );
}
