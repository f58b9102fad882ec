import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import manifest from '../package.json' with { type: 'json' };

const packageDir = resolve(import.meta.dirname, '..');

/** Packages that this machine does not have yet are fetched. */
const installTimeoutMs = 180_000;

/** Written by an importer outside the workspace, compiled with the declarations of libraries checked too. */
const importer = `
import { createConsumer, isTransient, processOnce, type Consumer } from '@orders/idempotent-consumer';
import { kafkajsSource } from '@orders/idempotent-consumer/kafkajs';
import { consumerMigratorSettings, consumerSql } from '@orders/idempotent-consumer/migrations';
import { Kafka } from 'kafkajs';
import { Migrator } from 'kysely/migration';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, type Transaction } from 'kysely';

interface Database {
  invoices: { id: string };
}
const db = new Kysely<Database>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (of) => new PostgresIntrospector(of),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});
const say = () => undefined;
const consumer: Consumer = createConsumer(
  {
    kafka: new Kafka({ brokers: ['localhost:1'] }),
    transaction: (work) => db.transaction().execute(work),
    logger: { debug: say, info: say, warn: say, error: say },
  },
  {
    groupId: 'billing',
    workerId: 'billing',
    topics: ['orders.events'],
    decode: (record) => ({ kind: 'event', id: 'e', event: String(record.value) }),
    handle: async (tx: Transaction<Database>, events: string[]) => {
      await tx.insertInto('invoices').values(events.map((id) => ({ id }))).execute();
    },
  },
);
console.log(JSON.stringify({
  healthy: consumer.isHealthy(),
  transient: isTransient({ code: '40001' }),
  functions: [processOnce, kafkajsSource].map((one) => typeof one),
  migrator: new Migrator({ db, ...consumerMigratorSettings({ schema: 'public' }) }) instanceof Migrator,
  script: consumerSql().startsWith('BEGIN'),
}));
`;
const tsconfig = {
  compilerOptions: {
    module: 'nodenext',
    target: 'es2024',
    outDir: 'dist',
    rootDir: 'src',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    types: ['node'],
  },
  include: ['src'],
};

interface Finished {
  status: number;
  output: string;
}

function run(cwd: string, command: string, ...args: string[]): Promise<Finished> {
  return new Promise((done) => {
    execFile(command, args, { cwd, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      const code = error?.code;
      done({ status: typeof code === 'number' ? code : error ? 1 : 0, output: `${stdout}${stderr}` });
    });
  });
}

async function mustRun(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { status, output } = await run(cwd, command, ...args);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${output}`);
  return output;
}

/** The pnpm that runs the tests, or else the one that the workspace is built with. */
async function pnpm(cwd: string, ...args: string[]): Promise<string> {
  const { npm_execpath: running = '' } = process.env;
  if (basename(running) === 'pnpm') return mustRun(cwd, running, ...args);
  const root = JSON.parse(await readFile(join(packageDir, '../../package.json'), 'utf8'));
  return mustRun(cwd, 'npx', '--yes', root.packageManager, ...args);
}

const bin = (name: string) => join(packageDir, 'node_modules/.bin', name);
const publint = (tarball: string) => run(dir, bin('publint'), 'run', tarball, '--strict');
const attw = (tarball: string) => run(dir, bin('attw'), tarball, '--profile', 'esm-only');

let dir: string;
let tarball: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'consumer-package-'));
  tarball = join(dir, 'orders-idempotent-consumer.tgz');
  await pnpm(packageDir, 'pack', '--out', tarball);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it('holds what was built, the README and the licence, and nothing else', async () => {
  const listed = (await mustRun(dir, 'tar', 'tzf', tarball)).trim().split('\n');
  const files = listed.map((file) => file.replace(/^package\//, '')).toSorted();
  const built = /^dist\/.+(\.js|\.d\.ts)$/;
  expect(files.filter((file) => !built.test(file))).toEqual(['LICENSE', 'README.md', 'package.json']);
  const entries = Object.values(manifest.publishConfig.exports).flatMap((one) => [one.types, one.default]);
  expect(files).toEqual(expect.arrayContaining(entries.map((entry) => entry.replace('./', ''))));
});

it('exports the same from source and from the tarball', () => {
  const built = (source: string) => source.replace('./src/', './dist/');
  const expected = Object.entries(manifest.exports).map(([subpath, source]) => [
    subpath,
    { types: built(source).replace(/\.ts$/, '.d.ts'), default: built(source).replace(/\.ts$/, '.js') },
  ]);
  expect(manifest.publishConfig.exports).toEqual(Object.fromEntries(expected));
});

it('leaves publint and attw nothing to say, who object to a tarball that lacks a file', async () => {
  expect(await publint(tarball)).toMatchObject({ status: 0 });
  expect(await attw(tarball)).toMatchObject({ status: 0 });
  await mustRun(dir, 'tar', 'xzf', tarball);
  await rm(join(dir, 'package/dist/index.d.ts'));
  await mustRun(dir, 'tar', 'czf', 'spoilt.tgz', 'package');
  expect((await publint(join(dir, 'spoilt.tgz'))).status).not.toBe(0);
  expect((await attw(join(dir, 'spoilt.tgz'))).status).not.toBe(0);
});

it('compiles strictly and runs outside the workspace', { timeout: installTimeoutMs }, async () => {
  const project = join(dir, 'importer');
  await mkdir(join(project, 'src'), { recursive: true });
  const dependencies: Record<string, string> = { '@orders/idempotent-consumer': `file:${tarball}` };
  for (const name of [...Object.keys(manifest.peerDependencies), '@types/node', 'typescript'])
    dependencies[name] = JSON.parse(
      await readFile(join(packageDir, 'node_modules', name, 'package.json'), 'utf8'),
    ).version;
  const files = {
    'package.json': JSON.stringify({ name: 'importer', private: true, type: 'module', dependencies }),
    'pnpm-workspace.yaml': 'autoInstallPeers: false\nstrictPeerDependencies: true\n',
    'tsconfig.json': JSON.stringify(tsconfig),
    'src/main.ts': importer,
  };
  for (const [path, text] of Object.entries(files)) await writeFile(join(project, path), text);
  await pnpm(project, 'install', '--prefer-offline', '--no-frozen-lockfile');
  await mustRun(project, join(project, 'node_modules/.bin/tsc'), '-p', '.');
  expect(JSON.parse(await mustRun(project, process.execPath, 'dist/main.js'))).toEqual({
    healthy: false,
    transient: true,
    functions: ['function', 'function'],
    migrator: true,
    script: true,
  });
});
