import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
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
