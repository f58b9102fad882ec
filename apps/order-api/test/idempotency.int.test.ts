import { describe, expect, it } from 'vitest';
import { oneMore, useApi } from './api.ts';
import { orderBody } from './bodies.ts';

describe('the idempotency key', () => {
  const api = useApi();

  it('gives a repeated request the first answer, also when the order has moved on', async () => {
    const body = orderBody({ metadata: { b: '2', a: '1', 'long key': 'x' } });
    const first = await api().place(body, { key: 'repeat' });
    await api().database.pool.query(
      `update orders set state = 'PAID', version = 3, updated_at = now() + interval '1 hour' where id = $1`,
      [first.json().id],
    );
    const before = await api().counts();
    const replay = await api().place(body, { key: 'repeat' });
    expect(replay.statusCode).toBe(201);
    expect(replay.body).toBe(first.body);
    expect(replay.headers.location).toBe(first.headers.location);
    expect(first.headers['idempotent-replayed']).toBeUndefined();
    expect(replay.headers['idempotent-replayed']).toBe('true');
    expect(await api().counts()).toEqual(before);
  });

  it('knows the same request by its meaning, not by its spelling', async () => {
    const body = orderBody();
    const first = await api().place(body, { key: 'spelling' });
    const respelled = JSON.stringify(Object.fromEntries(Object.entries(body).reverse()), null, 2)
      .replace('"quantity": 2', '"quantity": 2.0')
      .replace('Green', '\\u0047reen');
    const replay = await api().place(respelled, { key: 'spelling' });
    expect(replay.json().id).toBe(first.json().id);
  });

  it('is free again after a request that was refused', async () => {
    expect(
      (await api().place(orderBody({ currency: 'nonsense' }), { key: 'refused-first' })).statusCode,
    ).toBe(400);
    const placed = await api().place(orderBody(), { key: 'refused-first' });
    expect(placed.statusCode).toBe(201);
    expect(placed.headers['idempotent-replayed']).toBeUndefined();
  });

  it('makes one order of 20 concurrent identical requests; all get the same answer', async () => {
    const before = await api().counts();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => api().place(orderBody(), { key: 'concurrent' })),
    );
    expect(answers.map((answer) => answer.statusCode)).toEqual(answers.map(() => 201));
    expect(new Set(answers.map((answer) => answer.body)).size).toBe(1);
    expect(answers.filter((answer) => answer.headers['idempotent-replayed'] === undefined)).toHaveLength(1);
    expect(await api().counts()).toEqual(oneMore(before));
  });

  it('lets one of several concurrent different bodies win and refuses the others', async () => {
    const before = await api().counts();
    const customers = Array.from({ length: 8 }, (_, i) => `customer-${i}`);
    const answers = await Promise.all(
      customers.map((customerId) => api().place(orderBody({ customerId }), { key: 'contended' })),
    );
    const statuses = answers.map((answer) => answer.statusCode).sort();
    expect(statuses).toEqual([201, ...customers.slice(1).map(() => 422)]);
    expect(await api().counts()).toEqual(oneMore(before));
  });

  it('waits for a request in flight with the same key: replays it when it commits, takes its place when it fails', async () => {
    for (const end of ['commit', 'rollback'] as const) {
      const key = `in-flight-${end}`;
      const [reached, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      // The first request stops inside its transaction, after all its rows are written.
      const slow = api().build({ deps: { lifecycle: slowLifecycle(reached.resolve, release.promise, end) } });
      const first = api().place(orderBody(), { key }, slow);
      await reached.promise;
      let answered = false;
      const second = api()
        .place(orderBody(), { key })
        .finally(() => {
          answered = true;
        });
      await untilSomebodyWaitsForALock();
      expect(answered).toBe(false);
      release.resolve();

      expect((await first).statusCode).toBe(end === 'commit' ? 201 : 500);
      const answer = await second;
      expect(answer.statusCode).toBe(201);
      expect(answer.headers['idempotent-replayed']).toBe(end === 'commit' ? 'true' : undefined);
      if (end === 'commit') expect(answer.body).toBe((await first).body);
      const rows = await api().database.pool.query('select order_id from idempotency_keys where key = $1', [
        key,
      ]);
      expect(rows.rows).toEqual([{ order_id: answer.json().id }]);
      await slow.http.close();
    }
  });

  function slowLifecycle(reached: () => void, release: Promise<void>, end: 'commit' | 'rollback') {
    const real = api().lifecycle;
    return {
      createOrders: async (...args: Parameters<typeof real.createOrders>) => {
        const created = await real.createOrders(...args);
        reached();
        await release;
        if (end === 'rollback') throw new Error('this request fails');
        return created;
      },
    };
  }

  async function untilSomebodyWaitsForALock(): Promise<void> {
    const waiting = () =>
      api().database.pool.query(
        `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
    await expect.poll(async () => (await waiting()).rowCount, { timeout: 15_000 }).toBe(1);
  }
});
