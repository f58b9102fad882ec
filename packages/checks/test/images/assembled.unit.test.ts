import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ImageFacts } from '../../src/images/image-facts.ts';
import { planImages } from '../../src/images/image-plan.ts';
import { judgeImage } from '../../src/images/judge-image.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir, writeFiles } from '../scratch.ts';

const apps = planImages(workspaceRoot).filter(({ app }) => app !== undefined);
const { packageManager } = JSON.parse(readFileSync(join(workspaceRoot, 'package.json'), 'utf8'));
const notBuilt = new Set(['node_modules', 'test', 'guards', '.turbo', '.reports', 'dist']);

/** What the build stage sees, and a pnpm on PATH. */
function buildContext(): { workspace: string; path: string } {
  const workspace = scratchDir();
  for (const part of [
    'package.json',
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    'apps',
    'packages',
    'infra/images',
  ])
    cpSync(join(workspaceRoot, part), join(workspace, part), {
      recursive: true,
      filter: (source) => !notBuilt.has(basename(source)),
    });
  const bin = scratchDir();
  writeFiles(bin, { pnpm: `#!/bin/sh\nexec npx --yes ${packageManager} "$@"\n` });
  chmodSync(join(bin, 'pnpm'), 0o755);
  return { workspace, path: `${bin}${delimiter}${process.env.PATH}` };
}

// What an image is built by, without an engine: images.ts does the same in images.
describe.each(apps.map((plan) => [plan.name, plan] as const))('%s, assembled for its image', (name, plan) => {
  test('holds what it needs and no more, and loads; it does not when something is missing', () => {
    const { workspace, path } = buildContext();
    const to = scratchDir();
    const run = (command: string, args: string[], cwd: string) => {
      const env = { ...process.env, PATH: path, CI: 'true', NODE_COMPILE_CACHE: join(cwd, '.compile-cache') };
      const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
      return { status, output: `${stdout}${stderr}` };
    };
    const assembled = run(
      'sh',
      ['infra/images/assemble.sh', to, `@orders/${name}`, '@orders/ordersctl'],
      workspace,
    );
    expect(assembled).toMatchObject({ status: 0 });

    const files = readdirSync(to, { recursive: true, encoding: 'utf8' });
    const facts = { files: files.map((file) => `app/${file}`), labels: {}, environment: {}, healthcheck: [] };
    const contents = judgeImage(plan, facts as unknown as ImageFacts, {
      version: '',
      revision: '',
      release: false,
    });
    const rules = new Set(['development', 'packages', 'dependencies']);
    expect(contents.filter(({ rule }) => rules.has(rule))).toEqual([]);
    expect(statSync(join(to, 'ordersctl')).mode & 0o111).toBe(0o111);

    const load = () =>
      run(process.execPath, [join(workspace, 'infra/images/compile.mjs'), ...plan.command], to);
    expect(load()).toEqual({ status: 0, output: '' });
    rmSync(join(to, 'packages/db'), { recursive: true });
    expect(load()).toMatchObject({ status: 1, output: expect.stringContaining('ERR_MODULE_NOT_FOUND') });
  }, 180_000);
});
