import { createOutboxTables } from './migrations/0001-outbox.ts';
import { createDeadLetters } from './migrations/0003-dead-letters.ts';
import { addRetention } from './migrations/0004-retention.ts';
import { addReads } from './migrations/0005-reads.ts';
import { addPause } from './migrations/0006-pause.ts';
import { addStatements } from './migrations/0007-statements.ts';
import { quoteIdentifier } from './postgres.ts';
import { type RawQuery, rawQuery } from './transaction.ts';

/** Where this package's own Migrator keeps what has been applied. */
export const outboxMigrationTable = 'outbox_migrations';
/** Its lock table. */
export const outboxMigrationLockTable = 'outbox_migrations_lock';

/** A migration for Kysely's Migrator, without needing its types. */
export interface OutboxMigration {
  up(db: { executeQuery(query: RawQuery): Promise<unknown> }): Promise<void>;
}

/** Which tables are meant. */
export interface OutboxMigrationOptions {
  /** Schema of the tables, made if it is missing; else the first of `search_path`. */
  readonly schema?: string;
}

/** What Kysely's `new Migrator({ db, … })` needs besides the database. */
export interface OutboxMigratorSettings {
  readonly provider: { getMigrations(): Promise<Record<string, OutboxMigration>> };
  readonly migrationTableName: string;
  readonly migrationLockTableName: string;
  readonly migrationTableSchema: string;
}

/** Plain SQL, in the order of names; names never change, and what is released never changes. All are expanding. */
const migrations: Readonly<Record<string, readonly string[]>> = {
  '0001-outbox': createOutboxTables,
  '0003-dead-letters': createDeadLetters,
  '0004-retention': addRetention,
  '0005-reads': addReads,
  '0006-pause': addPause,
  '0007-statements': addStatements,
};

/**
 * Everything a Kysely Migrator must be told, `new Migrator({ db, ...outboxMigratorSettings({ schema }) })`.
 *
 * The note of what has been applied lies beside the tables. Without `migrationTableSchema` Kysely takes a note that it
 * finds in any schema of the database for this one, and applies nothing.
 */
export function outboxMigratorSettings(options: Required<OutboxMigrationOptions>): OutboxMigratorSettings {
  return {
    provider: { getMigrations: async () => ({ ...createOutboxMigrations(options) }) },
    migrationTableName: outboxMigrationTable,
    migrationLockTableName: outboxMigrationLockTable,
    migrationTableSchema: options.schema,
  };
}

/**
 * Migrations of this package's tables, for a Kysely Migrator that works in transactions, as it does by default.
 * {@link outboxMigratorSettings} has them together with what else such a Migrator needs.
 */
export function createOutboxMigrations(
  options: OutboxMigrationOptions = {},
): Readonly<Record<string, OutboxMigration>> {
  const migrationOf = (statements: readonly string[]): OutboxMigration => ({
    async up(db) {
      for (const statement of inSchema(options.schema, statements))
        await db.executeQuery(rawQuery(statement));
    },
  });
  return Object.fromEntries(Object.entries(migrations).map(([name, sql]) => [name, migrationOf(sql)]));
}

/** The migrations for tables in the first schema of `search_path`. */
export const outboxMigrations: Readonly<Record<string, OutboxMigration>> = createOutboxMigrations();

/**
 * The same migrations as a script for psql or any other tool, in one transaction, with a note of each in
 * `outbox_migrations`, so that a Kysely Migrator can take over later.
 * @param options `after`: name of the last migration that has been applied already; `transaction: false` leaves BEGIN
 * and COMMIT out, for a tool that brings its own transaction
 */
export function outboxSql(
  options: OutboxMigrationOptions & { readonly after?: string; readonly transaction?: boolean } = {},
): string {
  const { schema, after = '', transaction = true } = options;
  const due = Object.entries(migrations).filter(([name]) => name > after);
  const note = [
    `CREATE TABLE IF NOT EXISTS ${outboxMigrationTable}
       (name varchar(255) NOT NULL PRIMARY KEY, timestamp varchar(255) NOT NULL)`,
  ];
  const statements = due.flatMap(([name, sql]) => [...sql, noteOf(name)]);
  const all = inSchema(schema, [...note, ...statements]);
  const script = transaction ? ['BEGIN', ...all, 'COMMIT'] : all;
  return script.map((statement) => `${statement.trim()};\n`).join('\n');
}

const noteOf = (name: string): string =>
  `INSERT INTO ${outboxMigrationTable}
     VALUES ('${name}', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))`;

/** Statements as they are, between two that set `search_path` and set it back. */
function inSchema(schema: string | undefined, statements: readonly string[]): readonly string[] {
  if (schema === undefined) return statements;
  const name = quoteIdentifier(schema);
  const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
  return [
    // IF NOT EXISTS alone asks for the right to create schemas even where this one is there.
    `DO $outbox$ BEGIN
       IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = ${literal(schema)}) THEN
         CREATE SCHEMA IF NOT EXISTS ${name};
       END IF;
     END $outbox$`,
    `SELECT set_config('outbox.search_path', current_setting('search_path'), true)`,
    `SELECT set_config('search_path', ${literal(name)}, true)`,
    `DO $outbox$ BEGIN
       IF current_schema() IS DISTINCT FROM ${literal(schema)} THEN
         RAISE EXCEPTION 'the migrations of the outbox need a transaction around them';
       END IF;
     END $outbox$`,
    ...statements,
    `SELECT set_config('search_path', current_setting('outbox.search_path'), true)`,
  ];
}
