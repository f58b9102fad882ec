import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type Metrics, type Probes, startProbes } from '../src/index.ts';

describe('startProbes', () => {
  let probes: Probes | undefined;
  afterEach(async () => {
    await probes?.close();
    probes = undefined;
  });

  async function serve(isReady: () => Promise<boolean>, metrics?: Metrics) {
    const lines: string[] = [];
    const log = (level: string) => (_: object, message: string) => void lines.push(`${level} ${message}`);
    const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
    probes = await startProbes({ port: 0, host: '127.0.0.1', isReady, logger, ...(metrics && { metrics }) });
    const url = `http://127.0.0.1:${probes.port}`;
    const get = async (path: string, method = 'GET') => {
      const response = await fetch(`${url}${path}`, { method });
      return { status: response.status, body: await response.text() };
    };
    return { get, lines };
  }

  it('says ready while the service is, and logs each change once', async () => {
    let ready = false;
    const { get, lines } = await serve(async () => ready);
    expect(await get('/readyz')).toEqual({ status: 503, body: '{"status":"not ready"}' });
    ready = true;
    expect(await get('/readyz?verbose')).toEqual({ status: 200, body: '{"status":"ready"}' });
    expect(await get('/readyz', 'HEAD')).toEqual({ status: 200, body: '' });
    ready = false;
    expect((await get('/readyz')).status).toBe(503);
    expect((await get('/readyz')).status).toBe(503);
    expect(lines).toEqual(['info ready', 'warn not ready any more']);
  });

  it('is alive although it is not ready, and although the question is never answered', async () => {
    const { get } = await serve(() => new Promise(() => undefined));
    expect(await get('/livez')).toEqual({ status: 200, body: '{"status":"live"}' });
    expect((await get('/readyz')).status).toBe(503);
  });

  it('takes a rejection for a no', async () => {
    const { get } = await serve(() => Promise.reject(new Error('no database')));
    expect((await get('/readyz')).status).toBe(503);
  });

  it('takes a question that throws for a no', async () => {
    const { get } = await serve(() => {
      throw new Error('not even a promise');
    });
    expect((await get('/readyz')).status).toBe(503);
  });

  it('serves metrics where there are any; one that fails is a 500 and in the log', async () => {
    let fail = false;
    const metrics = async () => {
      if (fail) throw new Error('a collector broke');
      return 'published_total 1\n';
    };
    const { get, lines } = await serve(async () => true, { contentType: 'text/plain', metrics });
    expect(await get('/metrics')).toEqual({ status: 200, body: 'published_total 1\n' });
    expect(await get('/metrics', 'HEAD')).toEqual({ status: 200, body: '' });
    fail = true;
    expect((await get('/metrics')).status).toBe(500);
    expect(lines).toEqual(['error the metrics failed']);
    expect((await get('/livez')).status).toBe(200);
  });

  it('knows nothing else', async () => {
    const { get } = await serve(async () => true);
    expect((await get('/')).status).toBe(404);
    expect((await get('/metrics')).status).toBe(404);
    expect((await get('/livez', 'POST')).status).toBe(405);
  });

  it('says which port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const taken = startProbes({ port, host: '127.0.0.1', isReady: async () => true });
    await expect(taken).rejects.toMatchObject({
      code: 'RUNTIME_PROBES_FAILED',
      message: expect.stringContaining(String(port)),
    });
    other.close();
  });

  it('closes at once although a client keeps its connection', async () => {
    const { get } = await serve(async () => true);
    await get('/livez');
    await probes?.close();
    await expect(get('/livez')).rejects.toThrow();
    probes = undefined;
  });
});
