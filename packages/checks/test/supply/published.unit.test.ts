import { expect, test } from 'vitest';
import { checkPublished } from '../../src/supply/published.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';

const library = {
  name: '@orders/a',
  license: 'MIT',
  files: ['dist'],
  publishConfig: { exports: { '.': {} } },
};
const check = (manifest: object, app: object = { name: '@orders/app', private: true }) =>
  checkPublished(
    scratchDir({
      'packages/a/package.json': JSON.stringify(manifest),
      'apps/app/package.json': JSON.stringify(app),
    }),
    ['@orders/a'],
  ).map(({ where, message }) => `${where} ${message}`);

test('the checkout publishes its libraries and nothing else', () => {
  expect(checkPublished(workspaceRoot)).toEqual([]);
});

test('what is well done passes', () => expect(check(library)).toEqual([]));

test.each<[string, object, string]>([
  ['private', { private: true }, 'is private, and should be published'],
  ['without a license', { license: undefined }, 'names no license'],
  ['with its sources', { files: ['src'] }, 'files: pack dist only'],
  [
    'with exports to sources',
    { publishConfig: {} },
    'publishConfig.exports: name the built files, sources are not packed',
  ],
  [
    'that needs a private package',
    { dependencies: { '@orders/app': 'workspace:*' } },
    'needs @orders/app, which is not published',
  ],
])('a library %s is found', (_, change, message) => {
  expect(check({ ...library, ...change })).toEqual([`packages/a/package.json ${message}`]);
});

test('a package that would be published by mistake is found, and a library that is gone', () => {
  expect(check(library, { name: '@orders/app' })).toEqual([
    'apps/app/package.json would be published: say "private": true, or list it as a library',
  ]);
  expect(check({ name: '@orders/b', private: true })).toEqual(['packages has no @orders/a']);
});
