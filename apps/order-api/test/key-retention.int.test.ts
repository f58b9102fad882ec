import { deleteExpiredIdempotencyKeys } from '@orders/db';
import { createLogger } from '@orders/service-runtime';
import { expect, it } from 'vitest';
import { startKeyRetention } from '../src/key-retention.ts';
import { useApi } from './api.ts';
import { orderBody } from './bodies.ts';

const api = useApi();
const logger = createLogger({ service: 'test', level: 'silent' });

const keys = async () => {
  const { rows } = await api().database.pool.query('SELECT key FROM idempotency_keys ORDER BY key');
  return rows.map(({ key }) => key);
};
const expire = (like: string) =>
  api().database.pool.query(
    `UPDATE idempotency_keys SET expires_at = now() - interval '1 second' WHERE key LIKE $1`,
    [like],
  );

it('expired keys leave, batch by batch, and are free again; others stay', async () => {
  for (const key of ['old-1', 'old-2', 'old-3', 'new-1']) await api().place(orderBody(), { key });
  await expire('old-%');
  const retention = startKeyRetention(
    { db: api().database.db, logger },
    { batchSizeMax: 2, batchPauseMs: 1 },
  );
  await expect.poll(keys).toEqual(['new-1']);
  await retention.stop();
  const again = await api().place(orderBody(), { key: 'old-1' });
  expect(again.statusCode).toBe(201);
  expect(again.headers['idempotent-replayed']).toBeUndefined();
  expect((await api().place(orderBody(), { key: 'new-1' })).headers['idempotent-replayed']).toBe('true');
});

it('of several replicas one deletes at a time', async () => {
  await api().place(orderBody(), { key: 'contended' });
  await expire('contended');
  const other = await api().database.pool.connect();
  await other.query('BEGIN');
  await other.query(`SELECT pg_advisory_xact_lock(hashtextextended('orders.idempotency_keys', 0))`);
  expect(await deleteExpiredIdempotencyKeys(api().database.db, 10)).toBe('busy');
  await other.query('ROLLBACK');
  other.release();
  expect(await deleteExpiredIdempotencyKeys(api().database.db, 10)).toBe(1);
});
