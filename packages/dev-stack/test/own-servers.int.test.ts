import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { installedKafka, startOwnKafka, startOwnPostgres } from '../src/own-servers.ts';

const closing: (() => Promise<void>)[] = [];
afterAll(() => Promise.all(closing.map((close) => close())));

describe("a server of one's own", () => {
  it('PostgreSQL: killed and started again, it has its data at the same address', async () => {
    const postgres = await startOwnPostgres();
    closing.push(postgres.close);
    const query = async (text: string) => {
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      return client.query(text).finally(() => client.end());
    };
    await query('CREATE TABLE kept AS SELECT 1 AS n');
    const firstPid = postgres.pid();
    expect(firstPid).toBe(
      Number((await query("SELECT pg_read_file('postmaster.pid')")).rows[0].pg_read_file.split('\n')[0]),
    );
    await postgres.kill();
    await expect(query('SELECT n FROM kept')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await postgres.start();
    expect((await query('SELECT n FROM kept')).rows).toEqual([{ n: 1 }]);
    expect(postgres.pid()).not.toBe(firstPid);
  });

  it('ends, and takes its folder with it, when the process that started it is killed', async () => {
    const module = new URL('../src/own-servers.ts', import.meta.url).href;
    const script = `const { startOwnPostgres } = await import('${module}');
      const postgres = await startOwnPostgres();
      await postgres.kill();
      await postgres.start();
      console.log(postgres.url);
      setInterval(() => {}, 1000);`;
    // With the folders below it this is longer than the path of a socket may be, as on a Mac.
    const folder = mkdtempSync(join(tmpdir(), `orders-killed-${'long-'.repeat(10)}`));
    chmodSync(folder, 0o711); // PostgreSQL runs as another user when we are root
    const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [url] = await once(starter.stdout as Readable, 'data');
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^orders-own-postgres-/)]);
    const connects = async () => {
      const client = new pg.Client({ connectionString: String(url).trim() });
      return client.connect().then(
        () => client.end().then(() => 'connected'),
        (error: { code?: string }) => error.code,
      );
    };
    expect(await connects()).toBe('connected');
    starter.kill('SIGKILL');
    await expect.poll(connects, { timeout: 15_000 }).toBe('ECONNREFUSED');
    await expect.poll(() => readdirSync(folder), { timeout: 15_000 }).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('Kafka: killed and started again, it has its topics at the same address', async () => {
    const kafka = await startOwnKafka();
    closing.push(kafka.close);
    const topics = async () => {
      const admin = new Kafka({
        brokers: kafka.brokers,
        logLevel: logLevel.NOTHING,
        retry: { retries: 2 },
      }).admin();
      try {
        await admin.connect();
        await admin.createTopics({ topics: [{ topic: 'kept' }], waitForLeaders: false });
        return await admin.listTopics();
      } finally {
        await admin.disconnect();
      }
    };
    expect(await topics()).toContain('kept');
    await kafka.kill();
    await expect(topics()).rejects.toThrow();
    await kafka.start();
    expect(await topics()).toContain('kept');
    expect(installedKafka().kafka).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
