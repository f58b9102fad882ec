import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readReadme } from '@orders/dev-stack/readme';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { checkHistory } from '../src/testing.ts';
import { openFirstUse } from './first-use.ts';
import { readTopic } from './fixture.ts';
import { fullImporter, fullOutput, plainImporter, plainOutput } from './importers.ts';
import { importerTsconfig, mustRun, type Packed, packageDir, packOutbox, run } from './packed.ts';
import { openShippingService } from './shipping-service.ts';

const readme = readReadme('packages/outbox');

/** `engines` allows it. */
const oldestNode = '22.0.0';

/** Packages that this machine does not have yet are fetched. */
const installTimeoutMs = 180_000;

const shipmentCount = 40;

const peersMeta: Record<string, { optional: boolean }> = manifest.peerDependenciesMeta;
const peers = Object.keys(manifest.peerDependencies);
const requiredPeers = peers.filter((name) => !peersMeta[name]?.optional);
const subpaths = Object.keys(manifest.exports).map((path) => path.replace('.', '@orders/outbox'));

let packed: Packed;
let projects: ReturnType<typeof installAll>;
beforeAll(async () => {
  packed = await packOutbox();
  projects = installAll();
});
afterAll(() => packed?.projects.remove());

const bin = (name: string) => join(packageDir, 'node_modules/.bin', name);
const publint = (tarball: string) => run(packed.dir, bin('publint'), 'run', tarball, '--strict');
const attw = (tarball: string) => run(packed.dir, bin('attw'), tarball, '--profile', 'esm-only');

it('holds what was built, the README and the licence, and nothing else', async () => {
  const others = packed.files.filter((file) => !/^dist\/.+(\.js|\.d\.ts)$/.test(file));
  expect(others).toEqual(['LICENSE', 'README.md', 'package.json']);
  const entries = Object.values(manifest.publishConfig.exports).flatMap(({ types, default: code }) => [
    types,
    code,
  ]);
  expect(
    entries.map((entry) => entry.replace('./', '')).filter((entry) => !packed.files.includes(entry)),
  ).toEqual([]);
});

it('exports the same from source and from the tarball', () => {
  const built = (source: string) => source.replace('./src/', './dist/');
  const expected = Object.entries(manifest.exports).map(([subpath, source]) => [
    subpath,
    { types: built(source).replace(/\.ts$/, '.d.ts'), default: built(source).replace(/\.ts$/, '.js') },
  ]);
  expect(manifest.publishConfig.exports).toEqual(Object.fromEntries(expected));
});

it('leaves publint and attw nothing to say', async () => {
  expect(await publint(packed.tarball)).toMatchObject({ status: 0 });
  expect(await attw(packed.tarball)).toMatchObject({ status: 0 });
});

it('publint and attw object to a tarball that lacks a file', async () => {
  const dir = join(packed.dir, 'spoilt');
  await mkdir(dir);
  await mustRun(dir, 'tar', 'xzf', packed.tarball);
  await rm(join(dir, 'package/dist/index.d.ts'));
  await mustRun(dir, 'tar', 'czf', 'spoilt.tgz', 'package');
  expect((await publint(join(dir, 'spoilt.tgz'))).status).not.toBe(0);
  expect((await attw(join(dir, 'spoilt.tgz'))).status).not.toBe(0);
});

it('compiles strictly and runs on the oldest Node 22 and on this one, with nothing but its required peers', {
  timeout: installTimeoutMs,
}, async () => {
  const dir = await projects.plain;
  await mustRun(dir, join(dir, 'node_modules/.bin/tsc'), '-p', '.');
  expect(await mustRun(dir, join(dir, 'node_modules/.bin/node'), '--version')).toBe(`v${oldestNode}\n`);
  for (const node of [join(dir, 'node_modules/.bin/node'), process.execPath])
    expect(JSON.parse(await mustRun(dir, node, 'dist/main.js'))).toEqual(plainOutput);
  // The adapters are given the importer's client, and only the contract's suite is for vitest.
  const loaded = ['kafkajs', 'platformatic', 'testing'].map(
    (path) => `await import('@orders/outbox/${path}');`,
  );
  await mustRun(dir, process.execPath, '--input-type=module', '--eval', loaded.join(' '));
});

it("compiles strictly and runs with its optional peers, pg and their declarations, and so do the README's snippets", {
  timeout: installTimeoutMs,
}, async () => {
  const dir = await projects.full;
  await mustRun(dir, join(dir, 'node_modules/.bin/tsc'), '-p', '.');
  expect(JSON.parse(await mustRun(dir, process.execPath, 'dist/main.js'))).toEqual(fullOutput);
  await mustRun(dir, process.execPath, 'dist/subpaths.js');
  await mustRun(dir, join(dir, 'node_modules/.bin/vitest'), 'run', '--dir', 'dist');
});

it("runs the README's first use and its test of one's own as they stand: the event is on the topic, and the program ends when it is told to", {
  timeout: installTimeoutMs,
}, async () => {
  const use = await openFirstUse(await projects.full);
  try {
    expect(await use.migrate()).toEqual({ code: 0, signal: null });
    const program = await use.start();
    await expect.poll(() => readTopic(use.topic)).toHaveLength(1);
    const [record] = await readTopic(use.topic);
    expect(record?.headers).toEqual({ 'content-type': 'application/json', id: expect.any(String) });
    expect(JSON.parse(String(record?.value))).toEqual({ invoiceId: 'i-1', customerId: 'c-1' });
    await expect
      .poll(() => use.pool.query('SELECT FROM outbox WHERE published_at IS NOT NULL'))
      .toMatchObject({ rowCount: 1 });
    expect(await program.stop()).toEqual({ code: 0, signal: null });
    expect(await use.ownTest()).toEqual({ code: 0, signal: null });
    // kafkajs by itself would have warned of its timers by now (tulios/kafkajs#1751).
    expect(program.logs.map(({ msg }) => msg)).not.toContainEqual(expect.stringContaining('Warning'));
  } finally {
    await use.close();
  }
});

// In this order: one service, set up, used, killed and stopped.
describe('docs/examples/shipping-service, with the tarball', { shuffle: false }, () => {
  let service: Awaited<ReturnType<typeof openShippingService>>;
  beforeAll(async () => {
    service = await openShippingService(await projects.shippingService);
  }, installTimeoutMs);
  afterAll(() => service?.close());

  it('compiles, and its set-up may be repeated', async () => {
    await service.typecheck();
    expect([await service.setUp(), await service.setUp()]).toEqual([0, 0]);
  });

  it('goes on when its database cuts it off in the middle of a transaction', async () => {
    const started = await service.start();
    const id = randomUUID();
    await service.ask('PUT', `/shipments/${id}`, { destination: 'Oslo' });
    const dispatch = () => service.ask('POST', `/shipments/${id}/dispatch`, { carrier: 'rail' });
    expect(await service.cutOff(id, dispatch)).toMatchObject({ id, state: 'DISPATCHED' });
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(started.logs).toContainEqual({ msg: expect.stringContaining('a connection was lost') });
  });

  it('loses nothing and reorders nothing when it is killed at work', async () => {
    const first = await service.start();
    const ids = Array.from({ length: shipmentCount }, () => randomUUID());
    let dispatched = 0;
    const shipped = ids.map(async (id) => {
      await service.ask('PUT', `/shipments/${id}`, { destination: 'Reykjavík' });
      const answer = await service.ask('POST', `/shipments/${id}/dispatch`, { carrier: 'sea' });
      dispatched += 1;
      if (dispatched === shipmentCount / 4) await first.kill().then(service.start);
      return answer;
    });
    const expected = ids.map((id) => ({ id, destination: 'Reykjavík', carrier: 'sea', state: 'DISPATCHED' }));
    expect(await Promise.all(shipped)).toMatchObject(expected);
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });

    const written = await service.written();
    expect(ids.map((id) => written.get(id)?.length)).toEqual(ids.map(() => 2));
    await expect
      .poll(async () => checkHistory({ written, read: await service.read() }), {
        timeout: 40_000,
        interval: 500,
      })
      .toMatchObject({ lost: 0, inverted: 0, unexpected: 0 });
  });

  it('ends by itself on SIGTERM, with everything published and marked', async () => {
    const id = randomUUID();
    await service.ask('PUT', `/shipments/${id}`, { destination: 'Oslo' });
    await expect.poll(() => service.unpublished()).toBe(0);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(await service.unpublished()).toBe(0);
  });
});

/** All at once: on a machine that has none of it yet, each of them waits for the network most of its time. */
function installAll() {
  const plain = [...requiredPeers, 'typescript', `node@${oldestNode}`];
  // vitest and @platformatic/kafka have declarations that need a package more.
  const full = [...peers, 'vite@^8', '@types/debug@^4', 'pg', '@types/pg', '@types/node', 'typescript'];
  const installing = {
    plain: packed.projects.make('plain', plain, {
      'tsconfig.json': importerTsconfig(),
      'src/main.ts': plainImporter,
    }),
    full: packed.projects.make('full', full, {
      // Without the DOM, whose `fetch` @platformatic/kafka's declarations do not fit.
      'tsconfig.json': importerTsconfig({ lib: ['es2024'], types: ['node'] }),
      'src/main.ts': fullImporter,
      'src/subpaths.ts': subpaths.map((path, i) => `export * as p${i} from '${path}';\n`).join(''),
      ...readmeModules(),
    }),
    shippingService: packed.projects.copy('docs/examples/shipping-service', 'shipping-service'),
  };
  // A failure is that of the test that waits for it.
  for (const one of Object.values(installing)) one.catch(() => undefined);
  return installing;
}

/** Each snippet is a module that stands by itself; the one that calls the test kit is a test. */
function readmeModules(): Record<string, string> {
  const modules = readme.snippets.map((code, i) => {
    const name = code.includes('publisherContract(') ? `readme-${i}.test` : `readme-${i}`;
    return [`src/${name}.ts`, code] as const;
  });
  return Object.fromEntries(modules);
}
