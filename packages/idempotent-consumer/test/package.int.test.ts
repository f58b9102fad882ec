import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  importerTsconfig,
  mustRun,
  type PackedPackage,
  type PackedProjects,
  packProjects,
  run,
} from '@orders/dev-stack/packed';
import { readReadme } from '@orders/dev-stack/readme';
import { afterAll, beforeAll, expect, it } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { importers } from './importers.ts';

const readme = readReadme('packages/idempotent-consumer');
const packageDir = resolve(import.meta.dirname, '..');

/** `engines` allows it. */
const oldestNode = '22.0.0';

/** Packages that this machine does not have yet are fetched. */
const installTimeoutMs = 180_000;

const subpaths = Object.keys(manifest.exports).map((path) => path.replace('.', manifest.name));
const peersMeta: Record<string, { optional: boolean }> = manifest.peerDependenciesMeta;

let projects: PackedProjects;
let packed: PackedPackage;
beforeAll(async () => {
  projects = await packProjects('packages/idempotent-consumer');
  [packed] = projects.packages as [PackedPackage];
});
afterAll(() => projects?.remove());

const bin = (name: string) => join(packageDir, 'node_modules/.bin', name);
const publint = (tarball: string) => run(projects.dir, bin('publint'), 'run', tarball, '--strict');
const attw = (tarball: string) => run(projects.dir, bin('attw'), tarball, '--profile', 'esm-only');

it('holds what was built, the README and the licence, and nothing else', () => {
  const others = packed.files.filter((file) => !/^dist\/.+(\.js|\.d\.ts)$/.test(file));
  expect(others).toEqual(['LICENSE', 'README.md', 'package.json']);
  const entries = Object.values(manifest.publishConfig.exports).flatMap((one) => [one.types, one.default]);
  expect(packed.files).toEqual(expect.arrayContaining(entries.map((entry) => entry.replace('./', ''))));
});

it('exports the same from source and from the tarball', () => {
  const built = (source: string) => source.replace('./src/', './dist/');
  const expected = Object.entries(manifest.exports).map(([subpath, source]) => [
    subpath,
    { types: built(source).replace(/\.ts$/, '.d.ts'), default: built(source).replace(/\.ts$/, '.js') },
  ]);
  expect(manifest.publishConfig.exports).toEqual(Object.fromEntries(expected));
});

it('needs none of its peers: each is optional', () => {
  const peers = Object.keys(manifest.peerDependencies);
  expect(peers.filter((name) => !peersMeta[name]?.optional)).toEqual([]);
});

it('leaves publint and attw nothing to say, who object to a tarball that lacks a file', {
  timeout: 60_000,
}, async () => {
  expect(await publint(packed.tarball)).toMatchObject({ status: 0 });
  expect(await attw(packed.tarball)).toMatchObject({ status: 0 });
  await mustRun(projects.dir, 'tar', 'xzf', packed.tarball);
  await rm(join(projects.dir, 'package/dist/index.d.ts'));
  await mustRun(projects.dir, 'tar', 'czf', 'spoilt.tgz', 'package');
  expect((await publint(join(projects.dir, 'spoilt.tgz'))).status).not.toBe(0);
  expect((await attw(join(projects.dir, 'spoilt.tgz'))).status).not.toBe(0);
});

it.each(Object.entries(importers))(
  'compiles strictly and runs outside the workspace with %s beside it',
  { timeout: installTimeoutMs },
  async (name, { dependencies, options, main, output }) => {
    const files = { 'tsconfig.json': importerTsconfig(options), 'src/main.ts': main };
    const nodes = name === 'nothing' ? [`node@${oldestNode}`] : [];
    const dir = await projects.make(name, [...dependencies, 'typescript', ...nodes], files);
    await mustRun(dir, join(dir, 'node_modules/.bin/tsc'), '-p', '.');
    const engines = [process.execPath, ...nodes.map(() => join(dir, 'node_modules/.bin/node'))];
    for (const engine of engines)
      expect(JSON.parse(await mustRun(dir, engine, 'dist/main.js'))).toEqual(output);
  },
);

it("all its entries compile strictly and load, and so do the README's snippets", {
  timeout: installTimeoutMs,
}, async () => {
  const peers = Object.keys(manifest.peerDependencies);
  // vitest and @platformatic/kafka have declarations that need a package more.
  const others = ['vite@^8', '@types/debug@^4', 'pg', '@types/pg', '@types/node', 'typescript'];
  const snippets = readme.snippets.map((code, i) => [`src/readme-${i}.ts`, code] as const);
  expect(snippets.length).toBeGreaterThan(2);
  const dir = await projects.make('full', [...peers, ...others], {
    'tsconfig.json': importerTsconfig({ lib: ['es2024'], types: ['node'] }),
    'src/subpaths.ts': subpaths.map((path, i) => `export * as p${i} from '${path}';\n`).join(''),
    ...Object.fromEntries(snippets),
  });
  await mustRun(dir, join(dir, 'node_modules/.bin/tsc'), '-p', '.');
  await mustRun(dir, process.execPath, 'dist/subpaths.js');
});
