import { consumerMigrations, consumerMigrationTable } from '@orders/idempotent-consumer/migrations';
import { outboxMigrations, outboxMigrationTable } from '@orders/outbox/migrations';
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { DbError } from './errors.ts';
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

/**
 * The schema that is migrated and looked at: the first of `search_path` that is there. Those behind it are not, even
 * if they have the tables too.
 * @throws DbError `DB_SCHEMA_MISSING`
 */
export async function currentSchema<DB>(db: Kysely<DB>): Promise<string> {
  const { rows } = await sql<{ name: string | null; path: string }>`
    SELECT current_schema() AS name, current_setting('search_path') AS path`.execute(db);
  const [found] = rows;
  if (found?.name) return found.name;
  const message = `search_path (${found?.path}) names no schema that is there and may be used`;
  throw new DbError('DB_SCHEMA_MISSING', message);
}

/** Compares a set with what has been applied to a schema. Reads only; a schema without the set's table lacks all of it. */
export async function stateOf<DB>(db: Kysely<DB>, set: MigrationSet, schema: string): Promise<SetState> {
  const exists = await sql<{ found: boolean }>`
    SELECT to_regclass(quote_ident(${schema}) || '.' || quote_ident(${set.table})) IS NOT NULL AS found`.execute(
    db,
  );
  const applied = new Set<string>();
  if (exists.rows[0]?.found) {
    const { rows } = await sql<{ name: string }>`SELECT name FROM ${sql.id(schema, set.table)}`.execute(db);
    for (const { name } of rows) applied.add(name);
  }
  const known = Object.keys(set.migrations).sort();
  return {
    set,
    pending: known.filter((name) => !applied.has(name)),
    unknown: [...applied].filter((name) => !known.includes(name)).sort(),
  };
}
