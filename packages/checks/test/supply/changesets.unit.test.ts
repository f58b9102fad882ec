import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { publishedLibraries } from '../../src/supply/published.ts';
import { listPackages, workspaceRoot } from '../../src/workspace.ts';
import { scratchDir, writeFiles } from '../scratch.ts';

/** The checkout as changesets sees it: manifests and settings, on a branch main of its own. */
function copyManifests(): string {
  const packages = listPackages(workspaceRoot).filter(({ folder }) => !folder.startsWith('docs/'));
  const files = ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml', '.changeset/config.json'];
  const all = [...files, ...packages.map(({ folder }) => `${folder}/package.json`)];
  const dir = scratchDir(
    Object.fromEntries(all.map((file) => [file, readFileSync(join(workspaceRoot, file), 'utf8')])),
  );
  git(dir, 'init', '-q', '-b', 'main');
  commit(dir, 'before');
  return dir;
}

const git = (dir: string, ...args: string[]) => execFileSync('git', args, { cwd: dir });

function commit(dir: string, message: string): void {
  git(dir, 'add', '-A');
  git(dir, '-c', 'user.name=t', '-c', 'user.email=t@example.com', 'commit', '-qm', message);
}

const changeset = (dir: string, ...args: string[]) =>
  execFileSync(join(workspaceRoot, 'node_modules/.bin/changeset'), args, { cwd: dir, encoding: 'utf8' });

const versionsOf = (dir: string) =>
  new Map(
    listPackages(dir).map(({ name, dir: at }) => [
      name,
      JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')).version as string,
    ]),
  );

test('a changeset raises the library it names, with a changelog, and nothing that is private', () => {
  const dir = copyManifests();
  const before = versionsOf(dir);
  const [library = ''] = publishedLibraries;
  writeFiles(dir, { '.changeset/new.md': `---\n'${library}': major\n---\n\nBreaks what it must.\n` });
  commit(dir, 'change');
  expect(changeset(dir, 'status')).toContain(library);
  changeset(dir, 'version');

  const major = Number(before.get(library)?.split('.')[0]) + 1;
  expect(versionsOf(dir)).toEqual(new Map([...before, [library, `${major}.0.0`]]));
  const folder = listPackages(dir).find(({ name }) => name === library)?.dir ?? '';
  expect(readFileSync(join(folder, 'CHANGELOG.md'), 'utf8')).toContain('Breaks what it must.');
  expect(existsSync(join(dir, '.changeset/new.md'))).toBe(false);
});

test('a changeset of a private package raises nothing', () => {
  const dir = copyManifests();
  const before = versionsOf(dir);
  writeFiles(dir, { '.changeset/new.md': `---\n'@orders/order-api': major\n---\n\nAn app.\n` });
  commit(dir, 'change');
  changeset(dir, 'version');
  expect(versionsOf(dir)).toEqual(before);
});
