import { createDatabase } from '@orders/db';
import { freePort } from '@orders/dev-stack';
import { describe, expect, it } from 'vitest';
import { oneMore, problemOf, useApi } from './api.ts';
import { orderBody } from './bodies.ts';

const unavailable = { contentType: 'application/problem+json', status: 503, code: 'unavailable' };

describe('Test 3: Transactional Outbox', () => {
  const api = useApi();

  it('a failing insert into the outbox leaves neither order nor event nor idempotency key', async () => {
    const { pool } = api().database;
    await pool.query(`
      create function refuse_event() returns trigger language plpgsql as $$
      begin raise exception 'refused: %', new.payload; end $$`);
    await pool.query(`
      create trigger refuse_event before insert on outbox for each row
      when (new.key = 'acme:unlucky') execute function refuse_event()`);
    const before = await api().counts();
    const body = orderBody({ customerId: 'unlucky', paymentMethod: 'tok_canary' });
    const [failed, neighbour] = await Promise.all([api().place(body, { key: 'unlucky' }), api().place()]);
    expect(failed.statusCode).toBe(500);
    expect(problemOf(failed)).toEqual({
      contentType: 'application/problem+json',
      type: 'urn:orders:problem:internal_error',
      title: 'Something went wrong on our side',
      status: 500,
      code: 'internal_error',
      correlationId: failed.headers['x-correlation-id'],
    });
    expect(neighbour.statusCode).toBe(201);
    expect(await api().counts()).toEqual(oneMore(before));

    await pool.query('drop trigger refuse_event on outbox');
    const repeated = await api().place(body, { key: 'unlucky' });
    expect(repeated.statusCode).toBe(201);
    expect(repeated.headers['idempotent-replayed']).toBeUndefined();
    expect(await api().counts()).toEqual(oneMore(before, 2));
  });

  it('nothing is committed that the crash point before the commit did not pass', async () => {
    const points: [string, number][] = [];
    const app = api().build({ deps: { crashPoint: (point) => points.push([point, Number.NaN]) } });
    const before = await api().counts();
    await api().place(orderBody(), {}, app);
    expect(points.map(([point]) => point)).toEqual(['api.order.before-commit', 'api.order.after-commit']);

    const dying = api().build({
      deps: {
        crashPoint: () => {
          throw new Error('the process is gone');
        },
      },
    });
    expect((await api().place(orderBody(), {}, dying)).statusCode).toBe(500);
    expect(await api().counts()).toEqual(oneMore(before));
    await Promise.all([app.http.close(), dying.http.close()]);
  });
});

describe('a database that does not answer', () => {
  const api = useApi();

  it('that cannot be reached: 503 with Retry-After, for a key that is known and for one that is not', async () => {
    const url = new URL(api().url);
    url.port = String(await freePort());
    const database = createDatabase({ url: url.href, acquireTimeoutMs: 1000 });
    const app = api().build({
      database,
      deps: { findApiKey: async () => ({ tenantId: 'acme', keyId: 'k' }) },
    });
    const withoutKeys = api().build({ database });
    for (const target of [app, withoutKeys]) {
      const answer = await api().place(orderBody(), {}, target);
      expect(problemOf(answer)).toMatchObject(unavailable);
      expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      expect(
        (await api().get('01900000-0000-7000-8000-000000000000', api().acme.key, target)).statusCode,
      ).toBe(503);
      expect(answer.body).not.toMatch(/ECONN|127\.0\.0\.1|postgres/);
      await target.http.close();
    }
    await database.close();
  });

  it('that waits for a lock too long: 503, nothing stored, and the repeated request is taken', async () => {
    const database = createDatabase({ url: api().url, lockTimeoutMs: 200 });
    const app = api().build({ database });
    const before = await api().counts();
    await locked('orders', async () => {
      const answer = await api().place(orderBody(), { key: 'locked' }, app);
      expect(problemOf(answer)).toMatchObject(unavailable);
    });
    expect(await api().counts()).toEqual(before);
    const repeated = await api().place(orderBody(), { key: 'locked' }, app);
    expect(repeated.headers['idempotent-replayed']).toBeUndefined();
    expect(repeated.statusCode).toBe(201);
    await app.http.close();
    await database.close();
  });

  it('that is slower than the deadline: 503, and what was given up is not committed afterwards', async () => {
    const app = api().build({ options: { answerDeadlineMs: 300 } });
    const before = await api().counts();
    await locked('orders', async () => {
      const answer = await api().place(orderBody(), { key: 'late' }, app);
      expect(problemOf(answer)).toMatchObject(unavailable);
    });
    await untilNoTransactionIsOpen();
    expect(await api().counts()).toEqual(before);
    await app.http.close();
  });

  it('whose connection breaks in the middle: 503, nothing stored, and the next request is served', async () => {
    const before = await api().counts();
    await locked('outbox', async () => {
      const answer = api().place();
      await expect.poll(lockWaiters, { timeout: 15_000 }).toHaveLength(1);
      await api().database.pool.query('select pg_terminate_backend($1)', [(await lockWaiters())[0]]);
      expect(problemOf(await answer)).toMatchObject(unavailable);
    });
    expect(await api().counts()).toEqual(before);
    expect((await api().place()).statusCode).toBe(201);
  });

  async function lockWaiters(): Promise<number[]> {
    const { rows } = await api().database.pool.query(
      `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows.map((row) => row.pid);
  }

  /** Runs `work` while another session holds the table. */
  async function locked(table: string, work: () => Promise<void>): Promise<void> {
    const holder = await api().database.pool.connect();
    try {
      await holder.query('set idle_in_transaction_session_timeout = 0');
      await holder.query(`begin; lock table ${table} in access exclusive mode`);
      await work();
    } finally {
      await holder.query('rollback');
      holder.release(true);
    }
  }

  async function untilNoTransactionIsOpen(): Promise<void> {
    const open = () =>
      api().database.pool.query(
        `select 1 from pg_stat_activity
         where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
           and backend_type = 'client backend'`,
      );
    await expect.poll(async () => (await open()).rowCount, { timeout: 15_000 }).toBe(0);
  }
});
