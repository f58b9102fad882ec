import { consumerMigrations, consumerMigrationTable } from '@orders/idempotent-consumer/migrations';
import { outboxMigrations, outboxMigrationTable } from '@orders/outbox/migrations';
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { productMigrations } from './migrations/index.ts';

/** Migrations of one owner, with a migration table of their own: their names sort among themselves only. */
export interface MigrationSet {
  /** Named in reports and errors. */
  readonly name: string;
  readonly table: string;
  readonly migrations: Readonly<Record<string, Migration>>;
}

/** All sets in the order in which they are applied. */
export const migrationSets: readonly MigrationSet[] = [
  { name: 'outbox', table: outboxMigrationTable, migrations: outboxMigrations },
  { name: 'consumer', table: consumerMigrationTable, migrations: consumerMigrations },
  { name: 'product', table: 'product_migrations', migrations: productMigrations },
];

/** A set compared with a database. Names in order. */
export interface SetState {
  readonly set: MigrationSet;
  /** This program has them, the database lacks them. */
  readonly pending: readonly string[];
  /** Applied by a newer program; this one does not know them. */
  readonly unknown: readonly string[];
}

/** Compares a set with what has been applied. Reads only; a database without the set's table lacks all of it. */
export async function stateOf<DB>(db: Kysely<DB>, set: MigrationSet): Promise<SetState> {
  const exists = await sql<{ found: boolean }>`SELECT to_regclass(${set.table}) IS NOT NULL AS found`.execute(
    db,
  );
  const applied = new Set<string>();
  if (exists.rows[0]?.found) {
    const { rows } = await sql<{ name: string }>`SELECT name FROM ${sql.table(set.table)}`.execute(db);
    for (const { name } of rows) applied.add(name);
  }
  const known = Object.keys(set.migrations).sort();
  return {
    set,
    pending: known.filter((name) => !applied.has(name)),
    unknown: [...applied].filter((name) => !known.includes(name)).sort(),
  };
}
