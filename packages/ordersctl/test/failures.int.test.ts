import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { freePort } from '@orders/dev-stack';
import { describe, expect, it, vi } from 'vitest';
import { commands } from './commands.ts';
import { main, ordersctl } from './ordersctl.ts';
import { run } from './run.ts';

describe('ordersctl as a process', () => {
  it('says in one line that PostgreSQL or Kafka cannot be reached, without stack or password', async () => {
    const port = await freePort();
    const env = {
      DATABASE_URL: `postgres://app:secret@127.0.0.1:${port}/orders`,
      KAFKA_BROKERS: `127.0.0.1:${port}`,
    };
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const runs = await Promise.all([
      ordersctl(['migrate'], env),
      ordersctl(['topics', 'apply'], env),
      // In this process, as one for each takes long. Not those of Kafka: its client retries longer under NODE_ENV=test.
      ...commands
        .filter(({ variables }) => variables.includes('DATABASE_URL'))
        .map(({ args }) => run(...args)),
    ]);
    vi.unstubAllEnvs();
    for (const { status, out, err } of runs) {
      expect({ status, out }).toEqual({ status: 1, out: '' });
      expect(err).toMatch(/^error: (PostgreSQL|Kafka) cannot be reached.*\(ORDERSCTL_UNREACHABLE\)\n$/);
      expect(err).not.toContain('secret');
    }
  });

  it('says in one line that the URL of the database cannot be read, and does not show it', async () => {
    const env = { DATABASE_URL: 'postgres://app:p/s3cret@db/orders' };
    for (const args of [['migrate'], ['relay', 'dead-letters']]) {
      const { status, err } = await ordersctl([...args, '--verbose'], env);
      expect(status).toBe(1);
      expect(err).toMatch(/^error: the database URL cannot be read.*\(DB_URL_INVALID\)\n/);
      expect(err).not.toContain('s3cret');
    }
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)(
    'ends at %s, with status %i: as the first process of a container too',
    async (signal, status) => {
      const silence = createServer(() => undefined).listen(0, '127.0.0.1');
      await once(silence, 'listening');
      const { port } = silence.address() as AddressInfo;
      const DATABASE_URL = `postgres://app:secret@127.0.0.1:${port}/orders`;
      const child = spawn(process.execPath, [main, 'migrate'], { env: { DATABASE_URL }, stdio: 'ignore' });
      const [socket] = await once(silence, 'connection');
      child.kill(signal);
      expect(await once(child, 'exit')).toEqual([status, null]);
      socket.destroy();
      silence.close();
    },
  );

  it('ends with status 2 when it is used wrongly', async () => {
    expect(await ordersctl(['migarte'])).toMatchObject({ status: 2, out: '' });
  });
});
