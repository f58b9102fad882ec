import { createInboxAndDeadLetters } from './migrations/0001-inbox-and-dead-letters.ts';
import { createScheduledEvents } from './migrations/0002-scheduled-events.ts';
import { createDeadLetterDecisions } from './migrations/0003-dead-letter-decisions.ts';
import { createRetentionIndexes } from './migrations/0004-retention.ts';
import { type RawQuery, rawQuery } from './raw-query.ts';

/** Where this package's own Migrator keeps what has been applied. */
export const consumerMigrationTable = 'consumer_migrations';
/** Its lock table. */
export const consumerMigrationLockTable = 'consumer_migrations_lock';

/** A migration for Kysely's Migrator, without needing its types. */
export interface ConsumerMigration {
  up(db: { executeQuery(query: RawQuery): Promise<unknown> }): Promise<void>;
}

/** Which tables are meant. */
export interface ConsumerMigrationOptions {
  /** Schema of the tables, made if it is missing; else the first of `search_path`. */
  readonly schema?: string;
}

/** What Kysely's `new Migrator({ db, … })` needs besides the database. */
export interface ConsumerMigratorSettings {
  readonly provider: { getMigrations(): Promise<Record<string, ConsumerMigration>> };
  readonly migrationTableName: string;
  readonly migrationLockTableName: string;
  readonly migrationTableSchema: string;
}

/** Plain SQL, in the order of names; names never change, and what is released never changes. All are expanding. */
const migrations: Readonly<Record<string, readonly string[]>> = {
  '0001-inbox-and-dead-letters': createInboxAndDeadLetters,
  '0002-scheduled-events': createScheduledEvents,
  '0003-dead-letter-decisions': createDeadLetterDecisions,
  '0004-retention': createRetentionIndexes,
};

/**
 * Everything a Kysely Migrator must be told, `new Migrator({ db, ...consumerMigratorSettings({ schema }) })`.
 *
 * The note of what has been applied lies beside the tables. Without `migrationTableSchema` Kysely takes a note that it
 * finds in any schema of the database for this one, and applies nothing.
 */
export function consumerMigratorSettings(
  options: Required<ConsumerMigrationOptions>,
): ConsumerMigratorSettings {
  return {
    provider: { getMigrations: async () => ({ ...createConsumerMigrations(options) }) },
    migrationTableName: consumerMigrationTable,
    migrationLockTableName: consumerMigrationLockTable,
    migrationTableSchema: options.schema,
  };
}

/**
 * Migrations of `processed_events` and `dead_letter_events`, for a Kysely Migrator that works in transactions, as it
 * does by default. {@link consumerMigratorSettings} has them together with what else such a Migrator needs.
 */
export function createConsumerMigrations(
  options: ConsumerMigrationOptions = {},
): Readonly<Record<string, ConsumerMigration>> {
  const migrationOf = (statements: readonly string[]): ConsumerMigration => ({
    async up(db) {
      for (const statement of inSchema(options.schema, statements))
        await db.executeQuery(rawQuery(statement));
    },
  });
  return Object.fromEntries(Object.entries(migrations).map(([name, sql]) => [name, migrationOf(sql)]));
}

/** The migrations for tables in the first schema of `search_path`. */
export const consumerMigrations: Readonly<Record<string, ConsumerMigration>> = createConsumerMigrations();

/**
 * The same migrations as a script for psql or any other tool, in one transaction, with a note of each in
 * `consumer_migrations`, so that a Kysely Migrator can take over later.
 * @param options `after`: name of the last migration that has been applied already; `transaction: false` leaves BEGIN
 * and COMMIT out, for a tool that brings its own transaction
 */
export function consumerSql(
  options: ConsumerMigrationOptions & { readonly after?: string; readonly transaction?: boolean } = {},
): string {
  const { schema, after = '', transaction = true } = options;
  const due = Object.entries(migrations).filter(([name]) => name > after);
  const note = [
    `CREATE TABLE IF NOT EXISTS ${consumerMigrationTable}
       (name varchar(255) NOT NULL PRIMARY KEY, timestamp varchar(255) NOT NULL)`,
  ];
  const statements = due.flatMap(([name, sql]) => [...sql, noteOf(name)]);
  const all = inSchema(schema, [...note, ...statements]);
  const script = transaction ? ['BEGIN', ...all, 'COMMIT'] : all;
  return script.map((statement) => `${statement.trim()};\n`).join('\n');
}

const noteOf = (name: string): string =>
  `INSERT INTO ${consumerMigrationTable}
     VALUES ('${name}', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))`;

/** Statements as they are, between two that set `search_path` and set it back. */
function inSchema(schema: string | undefined, statements: readonly string[]): readonly string[] {
  if (schema === undefined) return statements;
  const name = `"${schema.replaceAll('"', '""')}"`;
  const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
  return [
    // IF NOT EXISTS alone asks for the right to create schemas even where this one is there.
    `DO $consumer$ BEGIN
       IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = ${literal(schema)}) THEN
         CREATE SCHEMA IF NOT EXISTS ${name};
       END IF;
     END $consumer$`,
    `SELECT set_config('idempotent_consumer.search_path', current_setting('search_path'), true)`,
    `SELECT set_config('search_path', ${literal(name)}, true)`,
    `DO $consumer$ BEGIN
       IF current_schema() IS DISTINCT FROM ${literal(schema)} THEN
         RAISE EXCEPTION 'the migrations of the consumer need a transaction around them';
       END IF;
     END $consumer$`,
    ...statements,
    `SELECT set_config('search_path', current_setting('idempotent_consumer.search_path'), true)`,
  ];
}
