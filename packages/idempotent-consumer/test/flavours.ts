import { CompiledQuery } from 'kysely';
import type pg from 'pg';
import { afterAll } from 'vitest';
import { pgTransaction, type RunTransaction } from '../src/index.ts';
import { type CountEvent, openDb, type TestDb, type Tx } from './harness.ts';

/** A kind of transaction, with a pool of its own whose connections can be told by `applicationName`. */
export interface Flavour {
  readonly transaction: RunTransaction<Tx>;
  readonly applicationName: string;
  readonly pool: pg.Pool;
}

export type FlavourName = 'Kysely' | 'pgTransaction';
export const flavourNames: FlavourName[] = ['Kysely', 'pgTransaction'];

/** A statement in either kind of transaction. */
export async function query(
  tx: Tx,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  if ('executeQuery' in tx) return (await tx.executeQuery(CompiledQuery.raw(text, values))).rows as never[];
  return (await (tx as unknown as pg.ClientBase).query(text, values)).rows;
}

/** Counts one up, without any protection against doing it again. */
export const countUpIn = (tx: Tx, name: string) =>
  query(tx, 'INSERT INTO counters VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1', [
    name,
  ]);

export const countEventUp = async (tx: Tx, { name }: CountEvent): Promise<void> => {
  await countUpIn(tx, name);
};

/** Opens transactions of a kind, and closes their pools after the file. */
export function useFlavours(db: () => TestDb) {
  const open: { close(): Promise<void> }[] = [];
  let opened = 0;
  afterAll(async () => {
    await Promise.all(open.map((one) => one.close()));
  });
  return (name: FlavourName, max = 8): Flavour => {
    const applicationName = `flavour-${++opened}`;
    const used = openDb(db().url, { applicationName, max });
    open.push(used);
    const transaction =
      name === 'Kysely' ? used.transaction : (pgTransaction(used.used) as unknown as RunTransaction<Tx>);
    return { transaction, applicationName, pool: used.used };
  };
}

/** What the connections of a pool are doing, as PostgreSQL sees it. */
export async function activityOf(db: TestDb, applicationName: string): Promise<string[]> {
  const text = 'SELECT state FROM pg_stat_activity WHERE application_name = $1 ORDER BY 1';
  return (await db.pool.query(text, [applicationName])).rows.map(({ state }) => state);
}
