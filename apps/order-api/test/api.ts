import { createApiKey, createDatabase, type DatabaseHandle, findApiKey, migrateAll } from '@orders/db';
import { createTestDatabase } from '@orders/dev-stack/testing';
import { ordersTopic } from '@orders/events';
import { createOrderLifecycle } from '@orders/order-lifecycle';
import { createOutbox } from '@orders/outbox';
import { createLogger } from '@orders/service-runtime';
import { afterAll, beforeAll } from 'vitest';
import { type App, type AppDeps, type AppOptions, createApp } from '../src/app.ts';
import { orderBody } from './bodies.ts';

/** Sends `body` as it is if it is text or bytes, else as JSON; `headers` replace the usual ones, undefined omits. */
export interface Send {
  key?: string | undefined;
  apiKey?: string;
  headers?: Record<string, string | undefined>;
}

export type TestApi = Awaited<ReturnType<typeof startTestApi>>;

/** The API on a database of its own, with a key of two tenants. */
export function useApi(options: Partial<AppOptions> = {}): () => TestApi {
  let api: TestApi | undefined;
  beforeAll(async () => {
    api = await startTestApi(options);
  });
  afterAll(() => api?.close());
  return () => api as TestApi;
}

async function startTestApi(options: Partial<AppOptions>) {
  const testDatabase = await createTestDatabase({
    template: 'orders',
    migrate: async (url) => {
      await migrateAll(url);
    },
  });
  const database = createDatabase({
    url: testDatabase.url,
    lockTimeoutMs: 20_000,
    statementTimeoutMs: 20_000,
  });
  const logs: Record<string, unknown>[] = [];
  const build = (
    o: { database?: DatabaseHandle; deps?: Partial<AppDeps>; options?: Partial<AppOptions> } = {},
  ) => buildApp(o.database ?? database, logs, o.deps ?? {}, { ...options, ...o.options });
  const app = build();
  const lifecycle = createOrderLifecycle({ outbox: createOutbox(), topic: ordersTopic.name });
  const acme = await createApiKey(database.db, { tenantId: 'acme', name: 'test' });
  const globex = await createApiKey(database.db, { tenantId: 'globex', name: 'test' });
  let keys = 0;

  const place = (body: unknown = orderBody(), send: Send = {}, target: App = app) => {
    const headers: Record<string, string | undefined> = {
      authorization: `Bearer ${send.apiKey ?? acme.key}`,
      'content-type': 'application/json',
      'idempotency-key': 'key' in send ? send.key : `key-${++keys}`,
      ...send.headers,
    };
    const given = Object.entries(headers).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return target.http.inject({
      method: 'POST',
      url: '/v1/orders',
      headers: Object.fromEntries(given),
      payload,
    });
  };
  const get = (id: string, apiKey = acme.key, target: App = app) =>
    target.http.inject({
      method: 'GET',
      url: `/v1/orders/${id}`,
      headers: { authorization: `Bearer ${apiKey}` },
    });

  /** Rows of everything that an order is made of. */
  async function counts() {
    const { rows } = await database.pool.query(
      `select (select count(*) from orders) as orders, (select count(*) from order_events) as events,
              (select count(*) from outbox) as outbox, (select count(*) from idempotency_keys) as keys`,
    );
    return rows[0] as Record<'orders' | 'events' | 'outbox' | 'keys', number>;
  }

  async function close() {
    await app.http.close();
    await database.close();
    await testDatabase.drop();
  }
  return {
    app,
    build,
    lifecycle,
    place,
    get,
    counts,
    close,
    database,
    url: testDatabase.url,
    logs,
    acme,
    globex,
  };
}

function buildApp(
  database: DatabaseHandle,
  logs: Record<string, unknown>[],
  deps: Partial<AppDeps>,
  options: Partial<AppOptions>,
): App {
  const outbox = createOutbox();
  const logger = createLogger({
    service: 'order-api',
    destination: { write: (line) => void logs.push(JSON.parse(line)) },
  });
  return createApp(
    {
      db: database.db,
      lifecycle: createOrderLifecycle({ outbox, topic: ordersTopic.name }),
      outbox,
      findApiKey: (key) => findApiKey(database.db, key),
      isReady: async () => true,
      logger,
      ...deps,
    },
    { drainDelayMs: 0, ...options },
  );
}

/** What an answer that is a problem says. */
export function problemOf(answer: { headers: Record<string, unknown>; json(): unknown }) {
  return { contentType: answer.headers['content-type'], ...(answer.json() as Record<string, unknown>) };
}

/** What each order adds to each table. */
export const oneMore = (counts: Record<string, number>, by = 1) =>
  Object.fromEntries(Object.entries(counts).map(([table, count]) => [table, count + by]));
