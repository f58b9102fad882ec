import { createApiKey } from '@orders/db';
import { describe, expect, it, vi } from 'vitest';
import { problemOf, useApi } from './api.ts';
import { orderBody } from './bodies.ts';

describe('POST /v1/orders', () => {
  const api = useApi();

  it('answers 201 with the order, and stores it with its history, its event and its key', async () => {
    const placed = await api().place(orderBody({ metadata: { channel: 'web' } }), { key: 'first' });
    expect(placed.statusCode).toBe(201);
    const answer = placed.json();
    expect(answer).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{14}7/), // UUID v7
      state: 'CREATED',
      version: 1,
      ...orderBody({ paymentMethod: undefined, metadata: { channel: 'web' } }),
      totalMinor: 2500,
      createdAt: expect.stringMatching(/Z$/),
      updatedAt: expect.stringMatching(/Z$/),
    });
    expect(placed.headers).toMatchObject({
      location: `/v1/orders/${answer.id}`,
      'cache-control': 'no-store',
    });

    const { pool } = api().database;
    const stored = await pool.query(
      `select o.state, o.tenant_id, o.payment_method, e.type, e.event_id, b.id as outbox_id, b.payload = e.data as same,
              k.key, k.expires_at - k.created_at as lifetime
       from orders o join order_events e on e.order_id = o.id join outbox b on b.aggregateid = o.id::text
       join idempotency_keys k on k.order_id = o.id where o.id = $1`,
      [answer.id],
    );
    expect(stored.rows).toEqual([
      {
        state: 'CREATED',
        tenant_id: 'acme',
        payment_method: 'tok_visa',
        type: 'order.created.v1',
        event_id: stored.rows[0].outbox_id,
        outbox_id: expect.any(String),
        same: true,
        key: 'first',
        lifetime: expect.anything(),
      },
    ]);
    const expiry = await pool.query(
      `select expires_at between created_at + interval '23 hours 59 minutes' and created_at + interval '24 hours 1 minute' as ok
       from idempotency_keys where key = 'first'`,
    );
    expect(expiry.rows).toEqual([{ ok: true }]);
  });

  it('wakes the relay after the commit, and only for a new order', async () => {
    const seen: (number | null)[] = [];
    const wake = vi.fn(() => {
      void api()
        .database.pool.query(`select 1 from idempotency_keys where key = 'wake'`)
        .then((found) => seen.push(found.rowCount));
    });
    const app = api().build({ deps: { outbox: { wake } } });
    await api().place(orderBody(), { key: 'wake' }, app);
    await expect.poll(() => seen).toEqual([1]);
    await api().place(orderBody(), { key: 'wake' }, app);
    await api().place({}, {}, app);
    expect(wake).toHaveBeenCalledTimes(1);
    await app.http.close();
  });

  it('keeps the correlation id and the trace context of the client, with the order and its event', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = { 'x-correlation-id': 'request-7', traceparent };
    const placed = await api().place(orderBody(), { headers });
    expect(placed.headers['x-correlation-id']).toBe('request-7');
    const { id } = placed.json();
    const stored = await api().database.pool.query(
      'select o.correlation_id, b.headers from orders o join outbox b on b.aggregateid = o.id::text where o.id = $1',
      [id],
    );
    expect(stored.rows[0]).toMatchObject({
      correlation_id: 'request-7',
      headers: { 'correlation-id': 'request-7', traceparent },
    });
  });

  it('makes a correlation id when there is none fit to use', async () => {
    const placed = await api().place(orderBody(), {
      headers: { 'x-correlation-id': 'a\tb', traceparent: 'nonsense' },
    });
    expect(placed.statusCode).toBe(201);
    expect(placed.headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('logs who ordered what under which ids, and no secret', async () => {
    const headers = { 'x-correlation-id': 'request-8' };
    const placed = await api().place(orderBody({ paymentMethod: 'tok_canary' }), { headers });
    const orderId = placed.json().id;
    const event = await api().database.pool.query('select event_id from order_events where order_id = $1', [
      orderId,
    ]);
    expect(api().logs).toContainEqual(
      expect.objectContaining({
        level: 'info',
        msg: 'order accepted',
        correlationId: 'request-8',
        orderId,
        eventId: event.rows[0].event_id,
        tenantId: 'acme',
      }),
    );
    const logged = JSON.stringify(api().logs);
    for (const secret of ['tok_canary', api().acme.key, 'uthorization']) expect(logged).not.toContain(secret);
  });

  it('is reached from /orders by a redirect that keeps method and body, without a key', async () => {
    const answer = await api().app.http.inject({ method: 'POST', url: '/orders', payload: '{' });
    expect(answer.statusCode).toBe(308);
    expect(answer.headers.location).toBe('/v1/orders');
  });
});

describe('GET /v1/orders/:id', () => {
  const api = useApi();

  it.each(['FAILED', 'REVIEW'])('says why an order is %s', async (state) => {
    const { id } = (await api().place()).json();
    await api().database.pool.query(
      `update orders set state = $2, version = 3, failure_code = 'insufficient_funds', failure_attempts = 3 where id = $1`,
      [id, state],
    );
    expect((await api().get(id)).json()).toMatchObject({
      state,
      version: 3,
      failure: { code: 'insufficient_funds', attempts: 3 },
    });
  });

  it('shows no payment method', async () => {
    const { id } = (await api().place(orderBody({ paymentMethod: 'tok_canary' }))).json();
    expect((await api().get(id)).body).not.toContain('tok_canary');
  });

  it.each(['01900000-0000-7000-8000-000000000000', 'nonsense', '%00', "1'--"])(
    'answers 404 for %s',
    async (id) => {
      const answer = await api().get(id);
      expect(answer.statusCode).toBe(404);
      expect(problemOf(answer)).toMatchObject({ contentType: 'application/problem+json', code: 'not_found' });
    },
  );

  it('refuses a key that is unknown', async () => {
    const { id } = (await api().place()).json();
    expect((await api().get(id, `ord_${'x'.repeat(43)}`)).statusCode).toBe(401);
  });
});

describe('tenants', () => {
  const api = useApi({ apiKeyRememberMs: 0 });

  it('never see each other: neither orders nor idempotency keys', async () => {
    const mine = await api().place(orderBody(), { key: 'same-key' });
    const theirs = await api().place(orderBody({ currency: 'USD' }), {
      key: 'same-key',
      apiKey: api().globex.key,
    });
    expect(theirs.statusCode).toBe(201);
    expect(theirs.headers['idempotent-replayed']).toBeUndefined();

    expect((await api().get(mine.json().id, api().globex.key)).statusCode).toBe(404);
    expect((await api().get(theirs.json().id, api().acme.key)).statusCode).toBe(404);
    expect((await api().get(theirs.json().id, api().globex.key)).json()).toEqual(theirs.json());

    const events = await api().database.pool.query(
      'select tenant_id, order_id from order_events where order_id = any($1) order by tenant_id',
      [[mine.json().id, theirs.json().id]],
    );
    expect(events.rows).toEqual([
      { tenant_id: 'acme', order_id: mine.json().id },
      { tenant_id: 'globex', order_id: theirs.json().id },
    ]);
  });

  it('cannot choose their tenant: a field or header that names one is refused or ignored', async () => {
    expect((await api().place(orderBody({ tenantId: 'globex' }))).statusCode).toBe(400);
    const placed = await api().place(orderBody(), {
      headers: { 'tenant-id': 'globex', 'x-tenant-id': 'globex' },
    });
    expect((await api().get(placed.json().id)).statusCode).toBe(200);
  });

  it('lose access when their key is revoked', async () => {
    const { id } = (await api().place()).json();
    const { database } = api();
    const { id: keyId, key } = await createApiKey(database.db, { tenantId: 'acme', name: 'to be revoked' });
    expect((await api().get(id, key)).statusCode).toBe(200);
    await database.pool.query('update api_keys set revoked_at = now() where id = $1', [keyId]);
    expect((await api().get(id, key)).statusCode).toBe(401);
    expect((await api().place(orderBody(), { apiKey: key })).statusCode).toBe(401);
  });
});

describe('the probes', () => {
  const api = useApi();
  const ask = (url: string, isReady: () => Promise<boolean>) => {
    const app = api().build({ deps: { isReady } });
    return app.http.inject(url).finally(() => app.http.close());
  };

  it('say that the process lives, and whether it can serve', async () => {
    const no = async () => false;
    const broken = () => Promise.reject(Object.assign(new Error('down'), { code: 'ECONNREFUSED' }));
    expect((await ask('/livez', no)).statusCode).toBe(200);
    expect((await ask('/readyz', async () => true)).statusCode).toBe(200);
    expect((await ask('/readyz', no)).statusCode).toBe(503);
    expect((await ask('/readyz', broken)).statusCode).toBe(503);
  });
});
