import { type Kysely, type RawBuilder, sql } from 'kysely';
import { DbError } from './errors.ts';
import { currentSchema, migrationSets } from './migration-sets.ts';
import type { Database } from './tables.ts';

/** The database roles of the services, each one's own. */
export interface ServiceRoles {
  readonly api: string;
  readonly relay: string;
  readonly worker: string;
  /** Owns the outbox's tables; the relay is a member, since only an owner makes and drops partitions. */
  readonly outboxOwner: string;
}

export const serviceRoles: ServiceRoles = {
  api: 'order_api',
  relay: 'outbox_relay',
  worker: 'payment_worker',
  outboxOwner: 'outbox_owner',
};

type Right = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | 'USAGE';
/** What is granted, by table or sequence. */
export type Rights = Readonly<Record<string, readonly Right[]>>;

/** What every service looks at before it starts: `assertSchemaFits`. */
const schemaFit: Rights = Object.fromEntries(
  ['app_schema', ...migrationSets.map(({ table }) => table)].map((table) => [table, ['SELECT']]),
);

/**
 * All that a service may do with a table or sequence; of the outbox's tables the relay is a member of the owner. `docs/security.md`
 * shows this table.
 */
export const grants: Readonly<Record<'api' | 'relay' | 'worker', Rights>> = {
  api: {
    ...schemaFit,
    api_keys: ['SELECT'],
    idempotency_keys: ['SELECT', 'INSERT', 'DELETE'],
    orders: ['SELECT', 'INSERT'],
    order_events: ['SELECT', 'INSERT'],
    outbox: ['INSERT'],
    outbox_seq: ['USAGE'],
  },
  relay: schemaFit,
  worker: {
    ...schemaFit,
    orders: ['SELECT', 'UPDATE'],
    order_events: ['SELECT', 'INSERT'],
    outbox: ['INSERT'],
    outbox_seq: ['USAGE'],
    payments: ['SELECT', 'INSERT', 'UPDATE'],
    payment_attempts: ['SELECT', 'INSERT', 'UPDATE'],
    refunds: ['SELECT', 'INSERT'],
    audit_breaks: ['SELECT', 'INSERT', 'UPDATE'],
    processed_events: ['SELECT', 'INSERT', 'DELETE'],
    scheduled_events: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
    consumer_chunk_starts: ['SELECT', 'INSERT', 'UPDATE'],
    consumer_control: ['SELECT'],
    consumer_audit: ['SELECT'],
    dead_letter_events: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  },
};

/**
 * Gives each service's role what it needs in the current schema; for the owner of the tables, after each migration.
 * All of it or nothing. By default nothing is taken away, so that a Job of an older release, whose services run beside
 * newer ones, leaves these what they need.
 * @param options.exact also takes away whatever else these roles, or everybody, have there: for when all services run
 *   this release. Nobody is without his rights in between.
 * @throws DbError `DB_SCHEMA_MISSING`; `DB_ROLE_MISSING`, with the statements that make what is missing
 */
export async function applyGrants(
  db: Kysely<Database>,
  options: { roles?: ServiceRoles; exact?: boolean } = {},
): Promise<void> {
  const { roles = serviceRoles, exact = false } = options;
  const { outboxOwner, ...services } = roles;
  await db.transaction().execute(async (tx) => {
    // Several Jobs at once: PostgreSQL refuses grants on one table from two transactions.
    await sql`SELECT pg_advisory_xact_lock(hashtextextended('orders.grants', 0))`.execute(tx);
    await assertRoles(tx, roles);
    const schema = sql.id(await currentSchema(tx));
    const all = sql.join(Object.values(services).map((role) => sql.id(role)));
    // Who is to own a table must be allowed to make one.
    await sql`GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${sql.id(outboxOwner)}`.execute(tx);
    for (const table of await tablesToGive(tx, outboxOwner))
      await sql`ALTER TABLE ${sql.table(table)} OWNER TO ${sql.id(outboxOwner)}`.execute(tx);
    if (exact) await takeAll(tx, schema, all);
    await sql`GRANT USAGE ON SCHEMA ${schema} TO ${all}`.execute(tx);
    for (const service of ['api', 'relay', 'worker'] as const)
      for (const [table, rights] of Object.entries(grants[service]))
        await sql`GRANT ${sql.raw(rights.join(', '))} ON ${sql.table(table)} TO ${sql.id(services[service])}`.execute(
          tx,
        );
  });
}

async function takeAll(tx: Kysely<Database>, schema: RawBuilder<unknown>, roles: RawBuilder<unknown>) {
  await sql`REVOKE ALL ON ALL TABLES IN SCHEMA ${schema} FROM PUBLIC, ${roles}`.execute(tx);
  await sql`REVOKE ALL ON ALL SEQUENCES IN SCHEMA ${schema} FROM PUBLIC, ${roles}`.execute(tx);
  await sql`REVOKE ALL ON SCHEMA ${schema} FROM PUBLIC, ${roles}`.execute(tx);
}

/** The outbox's tables and partitions, and with them their sequence, that are not its owner's yet; its migrations' table never is. */
async function tablesToGive(tx: Kysely<Database>, owner: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT relname AS name FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
      AND (relname = 'outbox' OR relname LIKE 'outbox\\_%') AND relname NOT LIKE 'outbox\\_migrations%'
      AND relowner <> ${owner}::regrole
    ORDER BY relname`.execute(tx);
  return rows.map(({ name }) => name);
}

async function assertRoles(tx: Kysely<Database>, roles: ServiceRoles): Promise<void> {
  const { rows } = await sql<{ name: string; there: boolean }>`
    SELECT name, to_regrole(quote_ident(name)) IS NOT NULL AS there FROM unnest(${Object.values(roles)}::text[]) AS name`.execute(
    tx,
  );
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  const statements = rows
    .filter(({ there }) => !there)
    .map(({ name }) =>
      name === roles.outboxOwner
        ? `CREATE ROLE ${quoted(name)} NOLOGIN`
        : `CREATE ROLE ${quoted(name)} LOGIN PASSWORD '…'`,
    );
  for (const member of await notMembers(tx, roles))
    statements.push(`GRANT ${quoted(roles.outboxOwner)} TO ${quoted(member)}`);
  if (statements.length === 0) return;
  const message = `roles are missing, to be made by an administrator: ${statements.join('; ')}`;
  throw new DbError('DB_ROLE_MISSING', message);
}

/** Of ourselves, who give the tables away and must be able to change them again, and of the relay. */
async function notMembers(tx: Kysely<Database>, { relay, outboxOwner }: ServiceRoles): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT name FROM unnest(ARRAY[current_user::text, ${relay}]) AS name
    WHERE NOT coalesce(pg_has_role(to_regrole(quote_ident(name)), to_regrole(quote_ident(${outboxOwner})), 'USAGE'), false)`.execute(
    tx,
  );
  return rows.map(({ name }) => name);
}
