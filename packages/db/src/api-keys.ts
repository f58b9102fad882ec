import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { DbError } from './errors.ts';
import type { Database } from './tables.ts';

/** A credential as its owner gets it; `key` is shown once and stored nowhere. */
export interface NewApiKey {
  readonly id: string;
  readonly key: string;
}

/** Whom a key stands for. */
export interface ApiKeyOwner {
  readonly keyId: string;
  readonly tenantId: string;
}

const keyBytes = 32;
const keyPattern = /^ord_[A-Za-z0-9_-]{43}$/;

/** Of a key with 256 random bits a plain hash is enough: there is nothing to guess. */
const hashOf = (key: string): Buffer => createHash('sha256').update(key).digest();

/** Makes a key for a tenant and notes it in the audit log, in one statement. `name` tells the tenant's keys apart. */
export async function createApiKey(
  db: Kysely<Database>,
  owner: { tenantId: string; name: string; actor?: string },
): Promise<NewApiKey> {
  const { tenantId, name, actor = 'operator' } = owner;
  const id = randomUUID();
  const key = `ord_${randomBytes(keyBytes).toString('base64url')}`;
  await db
    .with('created', (create) =>
      create.insertInto('api_keys').values({ id, tenant_id: tenantId, name, key_hash: hashOf(key) }),
    )
    .insertInto('audit_log')
    .values({ actor, action: 'api-key.create', subject: id, detail: JSON.stringify({ tenantId, name }) })
    .execute();
  return { id, key };
}

/** A key that opens nothing any more. */
export interface RevokedApiKey {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  /** When it was revoked first; to revoke it again changes nothing. */
  readonly revokedAt: Date;
}

/**
 * Revokes a key and notes it in the audit log, in one statement. Services that have just seen it remember it for
 * `API_KEY_REMEMBER_MS`.
 * @throws DbError `DB_API_KEY_UNKNOWN`
 */
export async function revokeApiKey(
  db: Kysely<Database>,
  { id, actor = 'operator' }: { id: string; actor?: string },
): Promise<RevokedApiKey> {
  await db
    .with('revoked', (revoke) =>
      revoke
        .updateTable('api_keys')
        .set({ revoked_at: sql`clock_timestamp()` })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .returning('id'),
    )
    .insertInto('audit_log')
    .columns(['actor', 'action', 'subject', 'detail'])
    .expression((from) =>
      from
        .selectFrom('revoked')
        .select([sql.val(actor).as('actor'), sql.lit('api-key.revoke').as('action')])
        .select([sql<string>`id::text`.as('subject'), sql<string>`'{}'::jsonb`.as('detail')]),
    )
    .execute();
  const row = await db
    .selectFrom('api_keys')
    .select(['tenant_id', 'name', 'revoked_at'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (row?.revoked_at == null) throw new DbError('DB_API_KEY_UNKNOWN', `no API key has the id ${id}`);
  return { id, tenantId: row.tenant_id, name: row.name, revokedAt: row.revoked_at };
}

/** The owner of a key, or null when the key is unknown, revoked or no key at all. */
export async function findApiKey(db: Kysely<Database>, key: string): Promise<ApiKeyOwner | null> {
  if (!keyPattern.test(key)) return null; // needs no look into the database
  const row = await db
    .selectFrom('api_keys')
    .select(['id', 'tenant_id'])
    .where('key_hash', '=', hashOf(key))
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return row === undefined ? null : { keyId: row.id, tenantId: row.tenant_id };
}
