import { type Kysely, sql } from 'kysely';
import { DbError } from './errors.ts';
import { grants } from './grants.ts';
import type { Database } from './tables.ts';

/**
 * Checks at a service's start that its role may do all that it is going to do, so that a grant that was forgotten ends
 * a rollout at its first pod instead of failing at the first order that needs it.
 * @throws DbError `DB_RIGHTS_MISSING`, which names the role and what it lacks
 */
export async function assertRightsFit(db: Kysely<Database>, service: keyof typeof grants): Promise<void> {
  const missing = await missingRights(db, service);
  if (service === 'relay') missing.push(...(await tablesOfOthers(db)));
  if (missing.length === 0) return;
  const { rows } = await sql<{ role: string }>`SELECT current_user::text AS role`.execute(db);
  throw new DbError(
    'DB_RIGHTS_MISSING',
    `the database role ${rows[0]?.role} lacks ${missing.join(', ')}: run "ordersctl grants apply" as the owner of the tables`,
  );
}

async function missingRights(db: Kysely<Database>, service: keyof typeof grants): Promise<string[]> {
  const needed = Object.entries(grants[service]).flatMap(([name, rights]) =>
    rights.map((right) => ({ name, right })),
  );
  const { rows } = await sql<{ name: string; right: string }>`
    SELECT name, "right" FROM unnest(${needed.map(({ name }) => name)}::text[], ${needed.map(({ right }) => right)}::text[])
      AS needed (name, "right")
    WHERE NOT CASE "right" WHEN 'USAGE' THEN has_sequence_privilege(name, "right") ELSE has_table_privilege(name, "right") END`.execute(
    db,
  );
  return rows.map(({ name, right }) => `${right} on ${name}`);
}

/** Only an owner makes and drops partitions. */
async function tablesOfOthers(db: Kysely<Database>): Promise<string[]> {
  const { rows } = await sql<{ owner: string }>`
    SELECT DISTINCT relowner::regrole::text AS owner FROM pg_class
    WHERE (oid = 'outbox'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'outbox'::regclass))
      AND NOT pg_has_role(relowner, 'USAGE')`.execute(db);
  return rows.map(({ owner }) => `membership of ${owner}, which owns the outbox`);
}
