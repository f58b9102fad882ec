import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { installedKafka } from '@orders/dev-stack/own-servers';
import pg from 'pg';
import type { Servers } from './servers.ts';

/** Above this the machine is at work for somebody else, and figures say little. */
const busyLoad = 0.7;

/** The machine and the versions, for whoever compares. */
export async function environmentOf(servers: Servers): Promise<Record<string, unknown>> {
  const { kafka, java } = installedKafka();
  return {
    commit: commit(),
    machine: {
      cpus: cpus().length,
      cpu: cpus()[0]?.model,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
    },
    versions: {
      node: process.versions.node,
      kafkajs: versionOf('kafkajs'),
      '@platformatic/kafka': versionOf('@platformatic/kafka'),
      pg: versionOf('pg'),
      kafka,
      java,
      ...(await postgresSettings(servers.postgresUrl)),
    },
  };
}

/** What stands in the way of figures that mean something; empty on a quiet machine. */
export function noise(): string[] {
  const [load = 0] = loadavg();
  return load > busyLoad ? [`the machine is busy: load ${load.toFixed(2)} before the run`] : [];
}

async function postgresSettings(url: string): Promise<Record<string, string>> {
  const names = [
    'server_version',
    'fsync',
    'synchronous_commit',
    'wal_level',
    'shared_buffers',
    'autovacuum',
    'jit',
  ];
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name',
    [names],
  );
  await client.end();
  return Object.fromEntries(rows.map(({ name, value }) => [`postgres ${name}`, value]));
}

/** From the package's own directory: some do not export their package.json. */
function versionOf(name: string): string {
  const paths = createRequire(import.meta.url).resolve.paths(name) ?? [];
  for (const path of paths) {
    try {
      return JSON.parse(readFileSync(`${path}/${name}/package.json`, 'utf8')).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}

/** With a plus sign when files differ from it. */
function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}
