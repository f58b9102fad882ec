import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type ServiceProcess, startService, waitFor } from '@orders/dev-stack';
import { afterEach, describe, expect, it } from 'vitest';
import { oneMore, type TestApi, useApi } from './api.ts';
import { orderBody } from './bodies.ts';

const entry = new URL('../src/main.ts', import.meta.url);
const killAtHook = new URL(import.meta.resolve('@orders/service-runtime/testing/kill-at'));

let service: ServiceProcess | undefined;
afterEach(() => service?.kill());

/** The API as a process; resolves when it is ready. */
async function start(api: TestApi, env: Record<string, string> = {}, imports: URL[] = []) {
  const port = await freePort();
  const started = await startService({
    name: 'order-api',
    entry,
    env: { DATABASE_URL: api.url, PORT: String(port), HOST: '127.0.0.1', ...env },
    imports,
  });
  service = started;
  const url = `http://127.0.0.1:${port}`;
  await waitFor('the API to be ready', async () => (await fetch(`${url}/readyz`)).ok, { timeoutMs: 30_000 });
  return { service: started, url, port };
}

const place = (api: TestApi, url: string, key: string, change: object = {}) =>
  fetch(`${url}/v1/orders`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${api.acme.key}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(orderBody(change)),
  });

describe('SIGTERM', () => {
  const api = useApi();

  it('under load: every request that was accepted is answered and stored, the rest is refused, exit status 0', async () => {
    const { service, url } = await start(api(), { DRAIN_DELAY_MS: '300' });
    const before = await api().counts();
    const accepted = new Set<string>();
    const errors: { afterTerm: boolean; what: string }[] = [];
    let terminating = false;
    const client = async (n: number) => {
      for (let i = 0, refused = false; !refused; i++) {
        const answer = await place(api(), url, `load-${n}-${i}`, { customerId: `load-${n}` }).catch(
          (error: Error) => error,
        );
        if (answer instanceof Error) {
          errors.push({ afterTerm: terminating, what: String(answer.cause ?? answer) });
          refused = true;
        } else if (answer.status === 201) {
          accepted.add(((await answer.json()) as { id: string }).id);
        } else {
          errors.push({ afterTerm: terminating, what: `${answer.status} ${await answer.text()}` });
        }
      }
    };
    const clients = Array.from({ length: 8 }, (_, n) => client(n));
    await expect.poll(() => accepted.size, { timeout: 30_000 }).toBeGreaterThan(50);
    terminating = true;
    const exit = await service.stop('SIGTERM');
    await Promise.all(clients);

    expect(exit).toEqual({ code: 0, signal: null });
    expect(errors.filter((error) => !error.afterTerm)).toEqual([]);
    const stored = await api().database.pool.query(
      `select o.id from orders o join outbox b on b.aggregateid = o.id::text where o.customer_id like 'load-%'`,
    );
    expect(new Set(stored.rows.map((row) => row.id))).toEqual(accepted);
    const after = await api().counts();
    expect(after.events - before.events).toBe(accepted.size);
    expect(after.keys - before.keys).toBe(accepted.size);
    expect(service.logs).toContainEqual(expect.objectContaining({ msg: 'stopped' }));
    expect(JSON.stringify(service.logs)).not.toContain(api().acme.key);
  });

  it('the time for which it goes on serving is not part of the drain’s limit', async () => {
    const { service } = await start(api(), { DRAIN_DELAY_MS: '1500', SHUTDOWN_TIMEOUT_MS: '1000' });
    expect(await service.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('with connections that never sent a request: ends all the same', async () => {
    const { service, port } = await start(api(), { DRAIN_DELAY_MS: '0' });
    const silent = connect({ port, host: '127.0.0.1' });
    silent.on('error', () => undefined); // being cut is what it is here for
    await once(silent, 'connect');
    expect(await service.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('a service whose schema is missing does not start, and says why', async () => {
    const { pool } = api().database;
    const empty = new URL(api().url);
    const name = `${empty.pathname.slice(1)}_empty`.slice(-63);
    await pool.query(`create database "${name}"`);
    empty.pathname = `/${name}`;
    service = await startService({
      name: 'order-api',
      entry,
      env: { DATABASE_URL: empty.href, PORT: '0', HOST: '127.0.0.1' },
    });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(JSON.stringify(service.logs)).toContain('ordersctl migrate');
    await pool.query(`drop database "${name}" with (force)`);
  });
});

describe('SIGKILL', () => {
  const api = useApi();

  it.each([
    ['api.order.before-commit', 0],
    ['api.order.after-commit', 1],
  ])('at %s: %i orders stand, whole; the repeated request ends with one', async (point, stored) => {
    const scratch = await mkdtemp(join(tmpdir(), 'order-api-'));
    const killFile = join(scratch, 'reached');
    const before = await api().counts();
    const victim = await start(api(), { KILL_AT: point, KILL_AT_FILE: killFile }, [killAtHook]);
    await expect(place(api(), victim.url, point)).rejects.toThrow();
    expect(await victim.service.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(await readFile(killFile, 'utf8')).toBe(point);
    await expect.poll(() => api().counts()).toEqual(oneMore(before, stored));

    const next = await start(api());
    const answer = await place(api(), next.url, point);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('idempotent-replayed')).toBe(stored === 1 ? 'true' : null);
    expect(await api().counts()).toEqual(oneMore(before));
    await next.service.stop();
    await rm(scratch, { recursive: true });
  });
});
