import { describe, expect, test } from 'vitest';
import { checkFloors, type Violation } from '../src/floors/check-floors.ts';
import { type FloorPlan, floorPlan } from '../src/floors/floor-plan.ts';
import { workspaceRoot } from '../src/workspace.ts';
import { scratchDir } from './scratch.ts';

const plan: FloorPlan = {
  floors: [['packages/outbox', 'packages/events'], ['packages/db'], ['apps/api', 'apps/worker']],
  tools: { 'packages/dev-stack': 'nothing', 'packages/demo': 'everything' },
  examples: { libraries: ['packages/outbox'], linesMax: 6 },
  appLinesMax: 20,
  fileLinesMax: 10,
};

const manifest = (name: string, fields: object = {}) =>
  JSON.stringify({ name: `@orders/${name}`, exports: { '.': './src/index.ts' }, ...fields });
const on = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [`@orders/${name}`, 'workspace:*']));

const house = {
  'packages/events/package.json': manifest('events'),
  'packages/events/src/index.ts': `import { createHash } from 'node:crypto';\nexport const a = createHash;\n`,
  'packages/outbox/package.json': manifest('outbox', {
    exports: { '.': './src/index.ts', './testing': './src/testing.ts' },
    peerDependencies: { kysely: '*' },
    devDependencies: on('dev-stack'),
  }),
  'packages/outbox/src/index.ts': `import type { Transaction } from 'kysely';\nexport * from './add.ts';\n`,
  'packages/outbox/src/add.ts': 'export const add = 1;\n',
  'packages/outbox/src/testing.ts': `export { testStack } from '@orders/dev-stack';\n`,
  'packages/outbox/test/a.unit.test.ts': `import '@orders/dev-stack';\nimport { add } from '../src/add.ts';\n`,
  'packages/db/package.json': manifest('db', { dependencies: on('outbox') }),
  'packages/db/src/index.ts': `export { add } from '@orders/outbox';\n`,
  'packages/db/src/config.ts': 'export const url = process.env.DATABASE_URL;\n',
  'packages/dev-stack/package.json': manifest('dev-stack'),
  'packages/dev-stack/src/index.ts': 'export const stack = process.env.DEV_STACK;\n',
  'packages/demo/package.json': manifest('demo', { dependencies: on('db', 'dev-stack') }),
  'packages/demo/src/index.ts': `import '@orders/db';\nimport '@orders/dev-stack';\n`,
  'apps/api/package.json': manifest('api', { dependencies: on('db', 'outbox') }),
  'apps/api/src/main.ts': `import '@orders/db';\nimport '@orders/outbox/testing';\n`,
  'apps/worker/package.json': manifest('worker', {}),
  'apps/worker/src/main.ts': 'export {};\n',
  'docs/examples/shop/package.json': JSON.stringify({
    name: 'shop',
    dependencies: { '@orders/outbox': 'file:./orders-outbox.tgz' },
  }),
  'docs/examples/shop/src/main.ts': `import { add } from '@orders/outbox';\n`,
};

const check = (changes: Record<string, string>) =>
  checkFloors(scratchDir({ ...house, ...changes }), plan).violations;
const brief = (violations: Violation[]) => violations.map(({ rule, where }) => `${rule} ${where}`);

test('a house in order has no violation, and is seen', () => {
  const report = checkFloors(scratchDir(house), plan);
  expect(report).toEqual({ packages: 8, modules: 12, references: 12, appLines: 3, violations: [] });
});

test('the plan names the real packages, and they are seen', () => {
  const { modules, references, violations } = checkFloors(workspaceRoot, floorPlan);
  expect(modules).toBeGreaterThan(50);
  expect(references).toBeGreaterThan(100);
  expect(violations.filter((one) => one.rule === 'unknown-package')).toEqual([]);
});

describe('a forbidden import is found, whatever its form', () => {
  test.each([
    ['static', `import { db } from '@orders/db';`],
    ['of a type', `import type { Db } from '@orders/db';`],
    ['inline type', `type A = import('@orders/db').Db;`],
    ['side effect', `import '@orders/db';`],
    ['re-export', `export { db } from '@orders/db';`],
    ['star re-export', `export * from '@orders/db';`],
    ['type re-export', `export type { Db } from '@orders/db';`],
    ['dynamic', `const db = await import('@orders/db');`],
    ['dynamic by a template', 'const db = await import(`@orders/db`);'],
    ['require', `const db = require('@orders/db');`],
    ['resolve', `const url = import.meta.resolve('@orders/db');`],
    ['mock', `vi.mock('@orders/db');`],
    [
      'behind a string and a comment that look like code',
      `const a = "/*"; /* import 'x' */ import '@orders/db';`,
    ],
  ])('%s', (_, line) => {
    const violations = check({ 'packages/events/src/bad.ts': `\n${line}\n` });
    expect(brief(violations)).toEqual([
      'undeclared packages/events/src/bad.ts:2',
      'floor packages/events/src/bad.ts:2',
    ]);
  });

  test('text that only looks like an import is none', () => {
    const text = `// import '@orders/db';\nexport const a = "import '@orders/db'";\n`;
    expect(check({ 'packages/events/src/good.ts': text })).toEqual([]);
  });
});

describe('every rule can fail', () => {
  test.each<[string, Record<string, string>, string[]]>([
    [
      'floor: a package of the same floor',
      { 'packages/events/src/bad.ts': `import '@orders/outbox';` },
      ['undeclared packages/events/src/bad.ts:1', 'floor packages/events/src/bad.ts:1'],
    ],
    [
      'floor: in a test',
      { 'packages/outbox/test/bad.ts': `import '@orders/db';` },
      ['undeclared packages/outbox/test/bad.ts:1', 'floor packages/outbox/test/bad.ts:1'],
    ],
    [
      'floor: an app by an app',
      { 'apps/api/src/bad.ts': `import '@orders/worker';` },
      ['undeclared apps/api/src/bad.ts:1', 'floor apps/api/src/bad.ts:1'],
    ],
    [
      'floor: a tool in source',
      { 'packages/outbox/src/bad.ts': `import '@orders/dev-stack';` },
      ['undeclared packages/outbox/src/bad.ts:1', 'floor packages/outbox/src/bad.ts:1'],
    ],
    [
      'floor: an app by a tool',
      { 'packages/demo/src/bad.ts': `import '@orders/api';` },
      ['undeclared packages/demo/src/bad.ts:1', 'floor packages/demo/src/bad.ts:1'],
    ],
    [
      'floor: anything of ours by the development stack',
      { 'packages/dev-stack/test/bad.ts': `import '@orders/events';` },
      ['undeclared packages/dev-stack/test/bad.ts:1', 'floor packages/dev-stack/test/bad.ts:1'],
    ],
    [
      'floor: declared only',
      {
        'packages/events/package.json': manifest('events', {
          dependencies: on('dev-stack'),
          devDependencies: on('db'),
        }),
      },
      ['floor packages/events/package.json', 'floor packages/events/package.json'],
    ],
    [
      'undeclared: a third party',
      { 'packages/events/src/bad.ts': `import '@scope/name/sub';` },
      ['undeclared packages/events/src/bad.ts:1'],
    ],
    [
      'undeclared: only a devDependency',
      {
        'packages/events/package.json': manifest('events', { devDependencies: { kysely: '*' } }),
        'packages/events/src/bad.ts': `import type { A } from 'kysely';`,
        'packages/events/test/good.ts': `import type { A } from 'kysely';`,
      },
      ['undeclared packages/events/src/bad.ts:1'],
    ],
    [
      'deep import: relative',
      { 'packages/db/src/bad.ts': `import '../../outbox/src/add.ts';` },
      ['deep-import packages/db/src/bad.ts:1'],
    ],
    [
      'deep import: absolute',
      { 'packages/db/src/bad.ts': `import '/somewhere/outbox/src/add.ts';` },
      ['deep-import packages/db/src/bad.ts:1'],
    ],
    [
      'deep import: past the exports',
      { 'packages/db/src/bad.ts': `import '@orders/outbox/src/add.ts';` },
      ['deep-import packages/db/src/bad.ts:1'],
    ],
    [
      'computed import',
      { 'packages/db/src/bad.ts': `const name = '@orders/api';\nawait import(name);` },
      ['computed-import packages/db/src/bad.ts:2'],
    ],
    [
      'environment: process.env',
      { 'packages/db/src/bad.ts': `export const a = process.env.X;\nconst b = globalThis.process['env'];` },
      ['environment packages/db/src/bad.ts:1', 'environment packages/db/src/bad.ts:2'],
    ],
    [
      'environment: taken apart or imported',
      { 'packages/db/src/bad.ts': `import { env } from 'node:process';\nconst { env: e } = process;` },
      ['environment packages/db/src/bad.ts:1', 'environment packages/db/src/bad.ts:2'],
    ],
    [
      'file length',
      { 'packages/db/test/bad.ts': 'export {};\n'.repeat(11), 'packages/db/src/good.ts': ';\n'.repeat(10) },
      ['file-length packages/db/test/bad.ts'],
    ],
    [
      'size of the apps',
      { 'apps/api/src/more.ts': ';\n'.repeat(10), 'apps/worker/src/more.ts': ';\n'.repeat(8) },
      ['apps-size apps'],
    ],
    [
      'size of an example',
      {
        'docs/examples/shop/src/more.ts': ';\n\n'.repeat(5),
        'docs/examples/shop/test/more.ts': ';\n'.repeat(9),
      },
      ['example-size docs/examples/shop'],
    ],
    [
      'example: other than a library, or not packed',
      {
        'docs/examples/shop/package.json': JSON.stringify({
          name: 'shop',
          dependencies: { '@orders/outbox': 'workspace:*', '@orders/db': 'file:./orders-db.tgz' },
        }),
        'docs/examples/shop/test/bad.ts': `import '@orders/db';\nimport '../../../../packages/outbox/src/add.ts';`,
      },
      [
        'floor docs/examples/shop/package.json',
        'floor docs/examples/shop/test/bad.ts:1',
        'deep-import docs/examples/shop/test/bad.ts:2',
        'example-packed docs/examples/shop/package.json',
      ],
    ],
    [
      'example: imported',
      { 'packages/demo/test/bad.ts': `import 'shop';` },
      ['undeclared packages/demo/test/bad.ts:1', 'floor packages/demo/test/bad.ts:1'],
    ],
    [
      'unknown package',
      { 'packages/new/package.json': manifest('new'), 'packages/new/src/index.ts': 'export {};' },
      ['unknown-package packages/new/package.json'],
    ],
    [
      'unreadable',
      { 'packages/db/src/bad.ts': `import { from '@orders/api';` },
      ['unreadable packages/db/src/bad.ts'],
    ],
    [
      'nothing seen: a package',
      {
        'packages/chaos/package.json': manifest('chaos'),
        'packages/chaos/vitest.config.ts': 'export default {};',
      },
      ['unknown-package packages/chaos/package.json', 'nothing-seen packages/chaos'],
    ],
  ])('%s', (_, changes, expected) => {
    expect(brief(check(changes))).toEqual(expected);
  });

  test('nothing seen: no package at all', () => {
    expect(brief(checkFloors(scratchDir(), plan).violations)).toEqual([
      expect.stringMatching(/^nothing-seen /),
    ]);
  });
});
