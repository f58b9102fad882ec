import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

const program = join(import.meta.dirname, '../src/healthcheck/main.ts');

describe("the images' health check", () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.close();
    server?.closeAllConnections();
  });

  /** A service whose /livez answers with this status, or never; the port it listens on. */
  async function serve(status: number | 'never'): Promise<number> {
    server = createServer((request, response) => {
      if (status !== 'never') response.writeHead(request.url === '/livez' ? status : 404).end();
    });
    const listening = once(server, 'listening');
    server.listen(0, '127.0.0.1');
    await listening;
    return (server.address() as AddressInfo).port;
  }

  const check = (settings: Record<string, string>): Promise<{ status: number; complaint: string }> =>
    new Promise((done) => {
      const child = execFile(process.execPath, [program, 'PROBE_PORT'], { env: settings }, (_, __, stderr) =>
        done({ status: child.exitCode ?? -1, complaint: stderr.trim() }),
      );
    });

  it('is content with a service that lives, on the port of the named setting', async () => {
    const port = await serve(200);
    expect(await check({ PROBE_PORT: String(port), PORT: '1' })).toEqual({ status: 0, complaint: '' });
  });

  it('says what is wrong with one that does not', async () => {
    const port = await serve(503);
    expect(await check({ PROBE_PORT: String(port) })).toEqual({
      status: 1,
      complaint: `/livez on port ${port} answered 503`,
    });
    server?.close();
    expect(await check({ PROBE_PORT: String(port) })).toMatchObject({
      status: 1,
      complaint: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await check({ PORT: String(port) })).toMatchObject({
      status: 1,
      complaint: expect.stringContaining('PROBE_PORT is missing'),
    });
  });

  it('does not wait for a service that never answers', async () => {
    const port = await serve('never');
    expect(await check({ PROBE_PORT: String(port) })).toMatchObject({
      status: 1,
      complaint: expect.stringMatching(/timeout|abort/i),
    });
  });
});
