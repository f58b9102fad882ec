import { execFile } from 'node:child_process';
import { existsSync, globSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';

/** Records of a chunk, unless a source is told otherwise. */
export const chunkSize = 500;

/** The rows that a consumer writes into its inbox for a chunk, as one statement, which is a transaction of its own. */
const insert = `INSERT INTO processed_events (event_id, worker_id, topic, "partition", "offset") SELECT gen_random_uuid()::text, 'bench', 'bench.events', 1, n FROM generate_series(1, ${chunkSize}) AS n`;

/** Where pgbench is: on the path, or where Debian's packages of PostgreSQL have it; undefined if nowhere. */
export function findPgbench(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'pgbench'));
  const debian = globSync('/usr/lib/postgresql/*/bin/pgbench').toSorted();
  return [...debian.toReversed(), ...onPath].find((file) => existsSync(file));
}

/** What the inserts are measured with. */
export interface InsertLoad {
  readonly url: string;
  readonly clients: number;
  readonly rows: number;
  /** A writable directory. */
  readonly dir: string;
  /** See {@link findPgbench}; without one a program of ours inserts. */
  readonly pgbench: string | undefined;
}

/** Inserts inbox rows in transactions of a chunk's size. @returns rows per second */
export async function insertRate({ url, clients, rows, dir, pgbench }: InsertLoad): Promise<number> {
  const transactions = Math.max(1, Math.ceil(rows / chunkSize / clients));
  if (pgbench === undefined) return insertRateByOurs(url, clients, transactions);
  const script = join(dir, 'inbox.sql');
  writeFileSync(script, `${insert};\n`);
  const counts = ['-c', String(clients), '-j', '1', '-t', String(transactions)];
  const { stdout } = await promisify(execFile)(pgbench, [
    '-n',
    '-M',
    'prepared',
    '-f',
    script,
    ...counts,
    url,
  ]);
  const perSecond = /^tps = ([\d.]+)/m.exec(stdout)?.[1];
  if (perSecond === undefined) throw new Error(`pgbench said no rate: ${stdout}`);
  return Number(perSecond) * chunkSize;
}

async function insertRateByOurs(url: string, clients: number, transactions: number): Promise<number> {
  const pool = new pg.Pool({ connectionString: url, max: clients });
  const all = Array.from({ length: clients }, () => pool.connect());
  const connected = await Promise.all(all);
  const startMs = performance.now();
  await Promise.all(
    connected.map(async (client) => {
      for (let i = 0; i < transactions; i += 1) await client.query({ name: 'insert', text: insert });
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  for (const client of connected) client.release();
  await pool.end();
  return (clients * transactions * chunkSize) / seconds;
}
