import type pg from 'pg';

/** Runs `work` between BEGIN and COMMIT; an error rolls back, and a connection that broke is thrown away. */
export async function inTransaction<R>(pool: pg.Pool, work: (tx: pg.PoolClient) => Promise<R>): Promise<R> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    await client.query('ROLLBACK').then(() => client.release(), client.release);
    throw error;
  }
}
