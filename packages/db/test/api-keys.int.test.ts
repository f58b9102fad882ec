import { describe, expect, it } from 'vitest';
import { createApiKey, findApiKey, revokeApiKey } from '../src/index.ts';
import { useDatabase } from './databases.ts';

const { open } = useDatabase();

describe('an API key', () => {
  it('leads to its tenant, and is noted in the audit log', async () => {
    const { db } = open();
    const { id, key } = await createApiKey(db, { tenantId: 'acme', name: 'till' });
    const second = await createApiKey(db, { tenantId: 'other', name: 'till' });
    expect(key).toMatch(/^ord_[A-Za-z0-9_-]{43}$/);
    expect(await findApiKey(db, key)).toEqual({ keyId: id, tenantId: 'acme' });
    expect(await findApiKey(db, second.key)).toEqual({ keyId: second.id, tenantId: 'other' });
    const log = await db.selectFrom('audit_log').selectAll().where('subject', '=', id).execute();
    expect(log).toMatchObject([
      { action: 'api-key.create', actor: 'operator', detail: { tenantId: 'acme', name: 'till' } },
    ]);
  });

  it('is stored nowhere', async () => {
    const { db, pool } = open();
    const { id, key } = await createApiKey(db, { tenantId: 'acme', name: 'secret' });
    const { rows } = await pool.query('SELECT to_jsonb(k) AS row FROM api_keys k WHERE id = $1', [id]);
    const log = await db.selectFrom('audit_log').selectAll().execute();
    expect(JSON.stringify([rows, log])).not.toContain(key.slice('ord_'.length));
  });

  it('is revoked once, alone, and that is noted in the audit log; an unknown one is named', async () => {
    const { db } = open();
    const { id } = await createApiKey(db, { tenantId: 'acme', name: 'lost' });
    const kept = await createApiKey(db, { tenantId: 'acme', name: 'kept' });
    const first = await revokeApiKey(db, { id });
    expect(first).toEqual({ id, tenantId: 'acme', name: 'lost', revokedAt: expect.any(Date) });
    expect(await revokeApiKey(db, { id })).toEqual(first);
    expect(await findApiKey(db, kept.key)).toMatchObject({ keyId: kept.id });
    const log = await db.selectFrom('audit_log').selectAll().where('subject', '=', id).execute();
    expect(log.map(({ action }) => action).sort()).toEqual(['api-key.create', 'api-key.revoke']);
    const unknown = crypto.randomUUID();
    await expect(revokeApiKey(db, { id: unknown })).rejects.toMatchObject({
      code: 'DB_API_KEY_UNKNOWN',
      message: expect.stringContaining(unknown),
    });
  });

  it('is worth nothing when it is unknown, revoked or malformed', async () => {
    const { db } = open();
    const { id, key } = await createApiKey(db, { tenantId: 'acme', name: 'revoked' });
    await revokeApiKey(db, { id });
    for (const worthless of [
      key,
      `ord_${'A'.repeat(43)}`,
      '',
      'ord_',
      `${key}x`,
      `ord_\0${'A'.repeat(42)}`,
    ]) {
      expect(await findApiKey(db, worthless)).toBeNull();
    }
  });
});
