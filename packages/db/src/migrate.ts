import { setTimeout as sleep } from 'node:timers/promises';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { type MigrationResultSet, Migrator } from 'kysely/migration';
import type pg from 'pg';
import { createClient } from './client.ts';
import { DbError } from './errors.ts';
import { currentSchema, type MigrationSet, migrationSets, stateOf } from './migration-sets.ts';

/** What a run did. */
export interface MigrationReport {
  /** In the order in which they were applied; empty when there was nothing to do. */
  readonly applied: readonly { readonly set: string; readonly migration: string }[];
  /** Found in the database, applied by a newer program. */
  readonly newer: readonly { readonly set: string; readonly migration: string }[];
}

/** Limits in milliseconds; `sets` is for tests. */
export interface MigrateOptions {
  readonly sets?: readonly MigrationSet[];
  /** Longest wait for another process that is migrating (10 min). */
  readonly turnTimeoutMs?: number;
  /**
   * Longest wait of a migration for a table (5 s). Behind a statement that waits for a table everybody else
   * waits for it, too: better to give up and be run again.
   */
  readonly lockTimeoutMs?: number;
}

const turnTimeoutDefaultMs = 10 * 60_000;
const turnPollIntervalMs = 100;
const lockTimeoutDefaultMs = 5_000;
const connectTimeoutMs = 10_000;

/**
 * Applies all migrations that are missing from the first schema of `search_path`: outbox, consumer, product. Each set
 * is applied whole or not at all; other schemas of the database are not looked at.
 *
 * Any number of processes may call this at once: one works, the others wait and then find nothing to do. The lock
 * belongs to the session, so the URL must lead to PostgreSQL itself or to a pooler in session mode.
 * @throws DbError `DB_URL_INVALID`, `DB_PASSWORD_MISSING`, `DB_SCHEMA_MISSING`, `DB_MIGRATION_FAILED`, `DB_MIGRATION_LOCKED`
 */
export async function migrateAll(url: string, options: MigrateOptions = {}): Promise<MigrationReport> {
  const client = createClient({
    connectionString: url,
    application_name: 'orders-migrate',
    connectionTimeoutMillis: connectTimeoutMs,
    lock_timeout: options.lockTimeoutMs ?? lockTimeoutDefaultMs,
    statement_timeout: 0, // filling a new column of a large table may take its time
    keepAlive: true,
  });
  client.on('error', () => undefined); // also reported by the query that meets it
  await client.connect();
  try {
    await takeTurn(client, options.turnTimeoutMs ?? turnTimeoutDefaultMs);
    return await applyAll(kyselyOn(client), options.sets ?? migrationSets);
  } finally {
    await client.end(); // and with it the lock
  }
}

/**
 * Waits for the lock by asking again and again: a session that waits inside a statement holds a snapshot, and the
 * one that has the lock could wait for that snapshot (CREATE INDEX CONCURRENTLY does).
 */
async function takeTurn(client: pg.Client, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { rows } = await client.query(
      `SELECT pg_try_advisory_lock(hashtextextended('orders.migrations', 0)) AS mine`,
    );
    if (rows[0]?.mine) return;
    if (performance.now() >= deadline) {
      throw new DbError(
        'DB_MIGRATION_LOCKED',
        `another process has been migrating this database for more than ${timeoutMs} ms`,
      );
    }
    await sleep(turnPollIntervalMs);
  }
}

/**
 * Kysely on the very connection that holds the lock: if it is lost, both the lock and the open transaction are,
 * and nobody can be migrating without the lock.
 */
function kyselyOn(client: pg.Client): Kysely<unknown> {
  const borrowed = {
    query: client.query.bind(client),
    release: () => undefined,
  };
  const pool = { connect: async () => borrowed, end: async () => undefined, options: {} };
  return new Kysely({ dialect: new PostgresDialect({ pool: pool as unknown as pg.Pool }) });
}

async function applyAll(db: Kysely<unknown>, sets: readonly MigrationSet[]): Promise<MigrationReport> {
  const schema = await currentSchema(db);
  // A migration that looks whether something is there, or a function that keeps the path, means this schema alone.
  await sql`SELECT set_config('search_path', quote_ident(${schema}), false)`.execute(db);
  const applied: { set: string; migration: string }[] = [];
  const newer: { set: string; migration: string }[] = [];
  for (const set of sets) {
    const { pending, unknown } = await stateOf(db, set, schema);
    for (const migration of unknown) newer.push({ set: set.name, migration });
    if (pending.length === 0) continue; // also when the database is ahead of us, as during a rollout
    for (const migration of await applySet(db, set, schema)) applied.push({ set: set.name, migration });
  }
  return { applied, newer };
}

/** Without `migrationTableSchema` Kysely would take the notes of another schema for those of this one. */
async function applySet(db: Kysely<unknown>, set: MigrationSet, schema: string): Promise<string[]> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => ({ ...set.migrations }) },
    migrationTableName: set.table,
    migrationLockTableName: `${set.table}_lock`,
    migrationTableSchema: schema,
  });
  const result = await migrator.migrateToLatest();
  if (result.error !== undefined) throw failure(set, result);
  return (result.results ?? []).map((one) => one.migrationName);
}

function failure(set: MigrationSet, { error, results }: MigrationResultSet): DbError {
  const failed = results?.find((one) => one.status === 'Error')?.migrationName;
  const what = failed === undefined ? `the migrations of ${set.name}` : `migration ${failed} of ${set.name}`;
  const reason = error instanceof Error ? error.message : String(error);
  return new DbError('DB_MIGRATION_FAILED', `${what} could not be applied: ${reason}`, { cause: error });
}
