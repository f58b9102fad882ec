import { Socket } from 'node:net';
import { sql } from 'kysely';
import { describe, expect, it, vi } from 'vitest';
import { inTransaction } from '../src/index.ts';
import { orderRow, useDatabase } from './databases.ts';

const { open } = useDatabase();

describe('a pool', () => {
  it('lets go of everything sooner than the shortest lease (10 s) runs out', async () => {
    const { pool } = open();
    const { rows } = await pool.query(
      `SELECT name, setting::int AS ms FROM pg_settings WHERE name IN
         ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name`,
    );
    expect(rows).toEqual([
      { name: 'idle_in_transaction_session_timeout', ms: 5000 },
      { name: 'lock_timeout', ms: 3000 },
      { name: 'statement_timeout', ms: 5000 },
    ]);
  });

  it('ends a statement that takes too long', async () => {
    const { pool } = open({ statementTimeoutMs: 50 });
    await expect(pool.query('SELECT pg_sleep(30)')).rejects.toMatchObject({
      code: '57014',
      message: expect.stringContaining('statement timeout'),
    });
  });

  it('gives up waiting for a lock', async () => {
    const holder = open();
    const { db } = open({ lockTimeoutMs: 50 });
    const { id } = await holder.db
      .insertInto('orders')
      .values(orderRow())
      .returning('id')
      .executeTakeFirstOrThrow();
    const raise = { version: 2 };
    await inTransaction(holder.db, async (tx) => {
      await tx.updateTable('orders').set(raise).where('id', '=', id).execute();
      const waiting = db.updateTable('orders').set(raise).where('id', '=', id).execute();
      await expect(waiting).rejects.toMatchObject({ code: '55P03' });
    });
  });

  it('frees the rows of a transaction that has fallen silent, and the process lives on', async () => {
    const logger = { warn: vi.fn() };
    const silent = open({ idleInTransactionTimeoutMs: 1000, logger });
    const other = open({ lockTimeoutMs: 20_000, statementTimeoutMs: 20_000 });
    const row = orderRow();
    await silent.db.insertInto('orders').values(row).execute();

    const stalled = inTransaction(silent.db, async (tx) => {
      await tx.updateTable('orders').set({ version: 2 }).where('id', '=', row.id).execute();
      // Its lock is free as soon as the server has ended the silent session.
      await other.db.updateTable('orders').set({ version: 3 }).where('id', '=', row.id).execute();
      await expect.poll(() => logger.warn.mock.calls.length, { timeout: 10_000 }).toBeGreaterThan(0);
    });
    await expect(stalled).rejects.toMatchObject({ code: 'DB_COMMIT_UNKNOWN' });

    const order = await silent.db.selectFrom('orders').select('version').where('id', '=', row.id).execute();
    expect(order).toEqual([{ version: 3 }]);
  });

  it('keeps its connections alive, so that a vanished peer is noticed', async () => {
    const setKeepAlive = vi.spyOn(Socket.prototype, 'setKeepAlive');
    await open().pool.query('SELECT 1');
    expect(setKeepAlive).toHaveBeenCalledWith(true, 5000);
  });

  it('does not wait for ever for a free connection', async () => {
    const { pool, db } = open({ poolMax: 1, acquireTimeoutMs: 2000 });
    await inTransaction(db, async () => {
      await expect(pool.query('SELECT 1')).rejects.toThrow(/timeout exceeded/);
    });
  });

  it('survives the loss of an idle connection and says so', async () => {
    const logger = { warn: vi.fn() };
    const { pool } = open({ logger, applicationName: 'orders-doomed' });
    await pool.query('SELECT 1');
    const { rowCount } = await open().pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'orders-doomed'`,
    );
    expect(rowCount).toBe(1);
    await expect.poll(() => logger.warn.mock.calls.length, { timeout: 10_000 }).toBeGreaterThan(0);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  it('reads bigint as a number and refuses one that would lose digits', async () => {
    const { pool, db } = open();
    expect((await pool.query('SELECT 9007199254740991::bigint AS n')).rows).toEqual([
      { n: 9007199254740991 },
    ]);
    const tooLarge = sql`SELECT 9007199254740993::bigint AS n`.execute(db);
    await expect(tooLarge).rejects.toMatchObject({ code: 'DB_INTEGER_UNSAFE' });
    expect((await pool.query('SELECT 1::bigint AS n')).rows).toEqual([{ n: 1 }]);
  });

  it('can be closed twice, used or not', async () => {
    const unused = open();
    await Promise.all([unused.close(), unused.close()]);
    const used = open();
    await used.pool.query('SELECT 1');
    await used.close();
    await used.close();
  });
});
