import { type Kysely, sql } from 'kysely';
import { DbError } from './errors.ts';
import { currentSchema, type MigrationSet, migrationSets, stateOf } from './migration-sets.ts';
import { appSchema } from './migrations/index.ts';
import type { Database } from './tables.ts';

/**
 * Checks at a program's start that it and the schema can work together: every migration that the program knows
 * has been applied, and no contract migration has removed what it uses. A schema that is merely ahead is fine.
 * @param options what the program knows; the defaults are this release's
 * @throws DbError `DB_SCHEMA_MISSING`, `DB_SCHEMA_BEHIND`, `DB_APP_TOO_OLD`
 */
export async function assertSchemaFits(
  db: Kysely<Database>,
  options: { sets?: readonly MigrationSet[]; appSchema?: number } = {},
): Promise<void> {
  const schema = await currentSchema(db);
  const missing: string[] = [];
  for (const set of options.sets ?? migrationSets) {
    const { pending } = await stateOf(db, set, schema);
    for (const migration of pending) missing.push(`${migration} of ${set.name}`);
  }
  if (missing.length > 0) {
    throw new DbError(
      'DB_SCHEMA_BEHIND',
      `the database lacks ${missing.join(', ')} (schema ${schema}): run "ordersctl migrate"`,
    );
  }
  const ours = options.appSchema ?? appSchema;
  const { rows } = await sql<{ min: number }>`SELECT min_app_schema AS min FROM app_schema`.execute(db);
  const min = rows[0]?.min ?? 0;
  if (min > ours) {
    throw new DbError(
      'DB_APP_TOO_OLD',
      `the database demands app schema ${min} or newer, this program has ${ours}: run a newer release`,
    );
  }
}
