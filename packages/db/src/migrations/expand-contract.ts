import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Statements that are run in order, in one transaction with the others of their migration set. */
type Statements = readonly RawBuilder<unknown>[];

async function runAll(db: Kysely<unknown>, statements: Statements): Promise<void> {
  for (const statement of statements) await statement.execute(db);
}

/** A migration that only adds: programs that do not know of it go on working. */
export function expand(statements: Statements): Migration {
  return { up: (db: Kysely<unknown>) => runAll(db, statements) };
}

/**
 * A migration that removes or narrows what older programs use, so they must be gone before it is applied.
 * @param minAppSchema the `appSchema` of the first release that works without what is removed here
 */
export function contract(minAppSchema: number, statements: Statements): Migration {
  return {
    async up(db: Kysely<unknown>) {
      // In the migration's transaction: no program can see the one without the other.
      await sql`UPDATE app_schema SET min_app_schema = greatest(min_app_schema, ${sql.lit(minAppSchema)}),
                updated_at = clock_timestamp()`.execute(db);
      await runAll(db, statements);
    },
  };
}
