import { sql } from 'kysely';
import { beforeAll, describe, expect, it } from 'vitest';
import { inTransaction, type Tx } from '../src/index.ts';
import { orderRow, useDatabase } from './databases.ts';

const { open } = useDatabase();

beforeAll(async () => {
  const { pool } = open();
  await pool.query('CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
  await pool.query('CREATE TABLE slow_commit (id int)');
  await pool.query(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$`);
  await pool.query(`CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION dawdle()`);
});

// One connection: a transaction that is not ended properly would be met by whoever comes next.
const database = () => open({ poolMax: 1 });
const insertOrder = async (tx: Tx): Promise<string> => {
  const row = orderRow();
  await tx.insertInto('orders').values(row).execute();
  return row.id;
};
const exists = async ({ db }: ReturnType<typeof open>, id: string): Promise<boolean> =>
  (await db.selectFrom('orders').select('id').where('id', '=', id).executeTakeFirst()) !== undefined;

describe('a transaction', () => {
  it('is read committed and stands when it resolves', async () => {
    const own = database();
    const [id, level] = await inTransaction(own.db, async (tx) => {
      const { rows } = await sql<{
        level: string;
      }>`SELECT current_setting('transaction_isolation') AS level`.execute(tx);
      return [await insertOrder(tx), rows[0]?.level] as const;
    });
    expect(level).toBe('read committed');
    expect(await exists(own, id)).toBe(true);
  });

  it('is rolled back by an error, which reaches the caller as it is', async () => {
    const own = database();
    const reason = new Error('changed my mind');
    let id = '';
    const rolledBack = inTransaction(own.db, async (tx) => {
      id = await insertOrder(tx);
      throw reason;
    });
    await expect(rolledBack).rejects.toBe(reason);
    expect(await exists(own, id)).toBe(false);
  });

  it('does not pretend to have committed when the error of a statement was ignored', async () => {
    const own = database();
    let id = '';
    const hollow = inTransaction(own.db, async (tx) => {
      id = await insertOrder(tx);
      await sql`SELECT 1 / 0`.execute(tx).catch(() => undefined);
    });
    await expect(hollow).rejects.toMatchObject({ code: 'DB_TRANSACTION_ABORTED' });
    expect(await exists(own, id)).toBe(false);
  });

  it('says why COMMIT failed', async () => {
    const own = database();
    let id = '';
    const late = inTransaction(own.db, async (tx) => {
      id = await insertOrder(tx);
      await sql`INSERT INTO late VALUES (1), (1)`.execute(tx);
    });
    await expect(late).rejects.toMatchObject({ code: '23505', table: 'late' });
    expect(await exists(own, id)).toBe(false);
  });

  it('says that the outcome is unknown when the connection is lost during COMMIT', async () => {
    const own = open({ poolMax: 1, statementTimeoutMs: 30_000, applicationName: 'orders-committing' });
    const lost = inTransaction(own.db, (tx) => sql`INSERT INTO slow_commit VALUES (1)`.execute(tx));
    const other = open();
    const terminate = () =>
      other.pool.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'orders-committing' AND query = 'commit' AND state = 'active'`);
    const rejected = expect(lost).rejects.toMatchObject({ code: 'DB_COMMIT_UNKNOWN' });
    await expect.poll(async () => (await terminate()).rowCount, { timeout: 10_000 }).toBe(1);
    await rejected;
    expect((await own.pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  it('keeps the cause when the rollback fails, too', async () => {
    const own = database();
    const reason = new Error('the cause');
    const lost = inTransaction(own.db, async (tx) => {
      await sql`SELECT pg_terminate_backend(pg_backend_pid())`.execute(tx).catch(() => undefined);
      throw reason;
    });
    await expect(lost).rejects.toBe(reason);
    expect((await own.pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  it('surfaces the loss of its connection', async () => {
    const own = database();
    const lost = inTransaction(own.db, async (tx) => {
      await sql`SELECT pg_terminate_backend(pg_backend_pid())`.execute(tx);
    });
    await expect(lost).rejects.toMatchObject({ code: '57P01' });
  });

  it('cannot be used after its end', async () => {
    const own = database();
    const leaked = await inTransaction(own.db, async (tx) => ({ tx }));
    await expect(insertOrder(leaked.tx)).rejects.toThrow(/already committed/);
  });
});
