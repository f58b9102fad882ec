import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkLockfile } from '../../src/supply/lockfile.ts';
import { runPnpm } from '../../src/supply/pnpm.ts';
import { scratchDir, writeFiles } from '../scratch.ts';
import { openRegistry } from './loopback-registry.ts';

const manifest = (version: string) =>
  JSON.stringify({ name: 'scratch', private: true, dependencies: { leaf: version } });
const settings = (age: number) => `minimumReleaseAge: ${age * 24 * 60}\n`;

test('the lockfile fits and keeps to the settings, or is refused', async () => {
  const releases = [1, 2].map((n) => ({ version: `${n}.0.0`, age: 10 }));
  const registry = ['--registry', await openRegistry({ leaf: releases })];
  const dir = scratchDir({ 'package.json': manifest('1.0.0'), 'pnpm-workspace.yaml': settings(3) });
  const install = await runPnpm(dir, ['install', ...registry, '--store-dir', join(dir, '.store')]);
  expect(install).toMatchObject({ status: 0 });
  expect(await checkLockfile(dir, registry)).toEqual([]);

  writeFiles(dir, { 'package.json': manifest('2.0.0') });
  expect(await checkLockfile(dir, registry)).toMatchObject([
    { rule: 'lockfile', message: expect.stringContaining('ERR_PNPM_OUTDATED_LOCKFILE') },
  ]);

  writeFiles(dir, { 'package.json': manifest('1.0.0'), 'pnpm-workspace.yaml': settings(30) });
  expect(await checkLockfile(dir, registry)).toMatchObject([
    { rule: 'lockfile', message: expect.stringContaining('leaf@1.0.0 was published') },
  ]);
});
