import { describe, expect, test } from 'vitest';
import type { ImageFacts } from '../../src/images/image-facts.ts';
import { planImages } from '../../src/images/image-plan.ts';
import { judgeImage } from '../../src/images/judge-image.ts';
import { judgeCompileCache, judgeStop } from '../../src/images/run-image.ts';
import { workspaceRoot } from '../../src/workspace.ts';

const plans = planImages(workspaceRoot);
const [api, relay] = plans as [(typeof plans)[0], (typeof plans)[0]];
const simulator = plans.at(-1) as (typeof plans)[0];
const commit = '0123456789abcdef0123456789abcdef01234567';
const expected = { version: '1.2.3', revision: commit, release: true };
const label = (name: string) => `org.opencontainers.image.${name}`;

/** An image of order-api as it should be. */
const good: ImageFacts = {
  user: '65532:65532',
  entrypoint: ['/nodejs/bin/node'],
  command: ['apps/order-api/src/main.ts'],
  healthcheck: ['CMD', '/nodejs/bin/node', 'packages/service-runtime/src/healthcheck/main.ts', 'PORT'],
  stopSignal: 'SIGTERM',
  workingDir: '/app',
  labels: {
    [label('title')]: 'order-api',
    [label('licenses')]: 'Apache-2.0',
    [label('version')]: '1.2.3',
    [label('revision')]: commit,
    [label('created')]: '2026-01-01T00:00:00.000Z',
    [label('source')]: 'https://example.test/orders',
    [label('base.name')]: `base:tag@sha256:${'0'.repeat(64)}`,
  },
  environment: { PATH: '/app:/nodejs/bin', PORT: '3000' },
  files: [
    'nodejs/bin/node',
    'app/ordersctl',
    'app/package.json',
    ...[...api.app!.folders].flatMap((folder) => [`app/${folder}/package.json`, `app/${folder}/src/main.ts`]),
    ...[...api.app!.packages].map(
      (id) =>
        `app/node_modules/.pnpm/${id.replace('/', '+')}_peer@1.0.0/node_modules/${id.replace(/(?<=.)@.*/, '')}/test/x.test.ts`,
    ),
    'app/node_modules/.pnpm/node_modules/pg/package.json',
  ],
  sizeBytes: 1,
};
const rulesOf = (change: Partial<ImageFacts>, of = expected) =>
  judgeImage(api, { ...good, ...change }, of).map(({ rule, message }) => `${rule}: ${message}`);
const labelled = (name: string, value: string) => ({ labels: { ...good.labels, [label(name)]: value } });
const with_ = (...files: string[]) => ({ files: [...good.files, ...files] });

test('each app has its plan, and the simulator has one', () => {
  expect(plans.map(({ name, port }) => [name, port])).toEqual([
    ['order-api', 3000],
    ['outbox-relay', 3001],
    ['payment-worker', 3001],
    ['gateway-simulator', 4000],
  ]);
  for (const { app } of plans.slice(0, 3)) {
    expect([...app!.folders]).toEqual(expect.arrayContaining(['packages/ordersctl', 'packages/db']));
    expect([...app!.folders]).not.toContain('packages/dev-stack');
  }
});

test('an image as it should be passes, and is not taken for another one', () => {
  expect(rulesOf({})).toEqual([]);
  expect(judgeImage(relay, good, expected).map(({ rule }) => rule)).toEqual(
    expect.arrayContaining(['command', 'healthcheck', 'port', 'labels', 'packages', 'dependencies']),
  );
});

describe('every rule can fail', () => {
  test.each<[string, Partial<ImageFacts>, string]>([
    ['root', { user: '' }, 'user: the user is "", not "65532:65532"'],
    ['root by number', { user: '0:0' }, 'user: the user is "0:0"'],
    [
      'a shell that starts it',
      { entrypoint: ['/bin/sh', '-c'] },
      'command: the entry point is ["/bin/sh","-c"]',
    ],
    ['another program', { command: ['apps/outbox-relay/src/main.ts'] }, 'command: the command is'],
    ['another signal', { stopSignal: 'SIGKILL' }, 'command: the stop signal is "SIGKILL"'],
    ['another folder', { workingDir: '/' }, 'command: the working directory is "/"'],
    ['no health check', { healthcheck: [] }, 'healthcheck: the health check must be run by'],
    [
      'one by a shell',
      { healthcheck: ['CMD-SHELL', 'curl localhost'] },
      'healthcheck: the health check must',
    ],
    [
      'one of another port',
      { healthcheck: [...good.healthcheck, 'PROBE_PORT'] },
      'healthcheck: the last word',
    ],
    ['no port', { environment: { PATH: '/app' } }, 'port: PORT is undefined, not "3000"'],
    [
      'ordersctl not on PATH',
      { environment: { PATH: '/bin', PORT: '3000' } },
      'ordersctl: ordersctl must lie',
    ],
    [
      'no ordersctl',
      { files: good.files.filter((file) => file !== 'app/ordersctl') },
      'ordersctl: ordersctl must',
    ],
    ['another title', labelled('title', 'x'), 'labels: title is "x", not "order-api"'],
    ['another version', labelled('version', '0.0.0'), 'labels: version is "0.0.0", not "1.2.3"'],
    ['another commit', labelled('revision', 'unknown'), 'labels: revision is "unknown"'],
    ['no time', labelled('created', 'unknown'), 'labels: created is "unknown", not a time'],
    ['a release from nowhere', labelled('source', 'unknown'), 'labels: source is "unknown", not where'],
    ['no source', labelled('source', ''), 'labels: source is "", not where'],
    [
      'a base by its tag',
      labelled('base.name', 'base:tag'),
      'base: a release names its base with a digest, not base:tag',
    ],
    ['a shell', with_('usr/bin/dash'), 'tools: /usr/bin/dash is in it'],
    ['a package manager', with_('usr/local/bin/npm'), 'tools: /usr/local/bin/npm is in it'],
    [
      'a test',
      with_('app/packages/db/src/pool.unit.test.ts'),
      'development: /app/packages/db/src/pool.unit.test.ts',
    ],
    [
      'a test folder',
      with_('app/apps/order-api/test/app.ts'),
      'development: /app/apps/order-api/test/app.ts is',
    ],
    [
      'a test kit',
      with_('app/packages/outbox/src/testing.ts'),
      'development: /app/packages/outbox/src/testing.ts',
    ],
    [
      'a guard',
      with_('app/packages/checks/guards/x.patch'),
      'development: /app/packages/checks/guards/x.patch',
    ],
    ['settings', with_('app/.env'), 'development: /app/.env is in it'],
    ['credentials', with_('app/.npmrc'), 'development: /app/.npmrc is in it'],
    [
      'a tool of ours',
      with_('app/packages/dev-stack/package.json'),
      'packages: packages/dev-stack is in it and not',
    ],
    [
      'a package of ours too few',
      { files: good.files.filter((file) => !file.includes('/db/')) },
      'packages: packages/db is missing',
    ],
    [
      'a development dependency',
      with_('app/node_modules/.pnpm/vitest@5.1.1_vite@8.0.0/node_modules/vitest/index.js'),
      'dependencies: vitest@5.1.1 is in it and not needed',
    ],
    [
      'another version of one',
      with_('app/node_modules/.pnpm/@fastify+error@1.0.0/node_modules/x'),
      'dependencies: @fastify/error@1.0.0 is in it',
    ],
    [
      'one too few',
      { files: good.files.filter((file) => !file.includes('/kysely@')) },
      'dependencies: kysely@',
    ],
  ])('%s', (_, change, message) => {
    expect(rulesOf(change)).toEqual(expect.arrayContaining([expect.stringContaining(message)]));
  });
});

test('only a release needs a digest', () => {
  expect(rulesOf(labelled('base.name', 'base:tag'), { ...expected, release: false })).toEqual([]);
  expect(rulesOf(labelled('source', 'unknown'), { ...expected, release: false })).toEqual([]);
});

test('of the simulator neither contents nor source are asked, its user is', () => {
  const facts: ImageFacts = {
    ...good,
    entrypoint: simulator.entrypoint,
    command: simulator.command,
    labels: { ...good.labels, [label('title')]: 'gateway-simulator', [label('source')]: '' },
    files: [],
  };
  expect(judgeImage(simulator, facts, expected)).toEqual([]);
  expect(judgeImage(simulator, { ...facts, user: 'root' }, expected)).toMatchObject([{ rule: 'user' }]);
});

test('a drain that ends with another status, or that nobody heard of, is told', () => {
  const stopped = '{"level":"info","msg":"stopped"}';
  expect(judgeStop(api, '0', stopped)).toBeUndefined();
  expect(judgeStop(api, '137', stopped)).toContain('SIGTERM ended it with status 137');
  expect(judgeStop(api, '0', '{"msg":"draining"}')).toContain('did not say that it stopped');
  expect(judgeStop(simulator, '0', '')).toBeUndefined();
  expect(judgeStop(simulator, '143', '')).toContain('status 143');
});

test('a cache of compiled code that lacks something, does not fit or is not used is told', () => {
  const read = '[compile cache] reading cache from /app/.compile-cache/v24/a for ESM file:///app/x.ts...';
  const accepted = '[compile cache] V8 code cache for ESM file:///app/x.ts was accepted, keeping the entry';
  expect(judgeCompileCache(`${read}[1 2]... success, size=3\n${accepted}`)).toEqual([]);
  expect(judgeCompileCache('{"level":"error"}')).toEqual([
    'nothing was loaded from the cache of compiled code',
  ]);
  expect(judgeCompileCache(`${accepted}\n${read} no such file or directory`)).toEqual([
    expect.stringContaining('no such file'),
  ]);
  expect(judgeCompileCache(`${accepted}\n${accepted.replace('accepted', 'rejected')}`)).toHaveLength(1);
});
