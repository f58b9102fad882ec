import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const packages = ['packages', 'apps'].flatMap((folder) =>
  readdirSync(join(root, folder)).map((name) => join(folder, name)),
);
const hasUnitScript = (folder: string) => {
  const manifest = join(root, folder, 'package.json');
  return existsSync(manifest) && 'test:unit' in JSON.parse(readFileSync(manifest, 'utf8')).scripts;
};

// vitest fails where it finds no test, and `pnpm test:unit` with it.
test.each(packages.filter(hasUnitScript))('%s has a unit test', (folder) => {
  const tests = readdirSync(join(root, folder, 'test'), { recursive: true, encoding: 'utf8' });
  expect(tests.filter((name) => name.endsWith('.unit.test.ts'))).not.toEqual([]);
});
