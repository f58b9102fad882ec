import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { Guard } from '../src/guards/guard-patch.ts';
import { changedGuards, guardsForCi, recentWork } from '../src/guards/select-guards.ts';
import { scratchDir, writeFiles } from './scratch.ts';

const guard = (name: string): Guard => ({
  name,
  promise: '',
  packageFolder: 'packages/a',
  tests: [{ file: `test/${name}.test.ts`, name: 't' }],
  expect: 'red',
  files: [`packages/b/src/${name}.ts`],
  patchPath: '',
});
const guards = Array.from({ length: 12 }, (_, index) => guard(`g${index}`));
const names = (some: Guard[]) => some.map((one) => one.name);

describe('which guards CI runs', () => {
  test('those whose patch, guarded file or test has changed', () => {
    const files = new Set([
      'packages/checks/guards/g1.patch',
      'packages/b/src/g2.ts',
      'packages/a/test/g3.test.ts',
      'packages/a/src/g4.ts',
    ]);
    expect(names(changedGuards(guards, { head: '', files }))).toEqual(['g1', 'g2', 'g3']);
    const forCi = names(guardsForCi(guards, { head: 'abc', files }));
    expect(forCi).toEqual(expect.arrayContaining(['g1', 'g2', 'g3']));
    expect(forCi).toHaveLength(3 + 5);
  });

  test('the five others depend on the commit only, and all have their turn', () => {
    const draw = (head: string) => names(guardsForCi(guards, { head, files: new Set() }));
    expect(draw('a')).toHaveLength(5);
    expect(draw('a')).toEqual(draw('a'));
    const drawn = new Set(Array.from({ length: 50 }, (_, index) => draw(String(index))).flat());
    expect(drawn.size).toBe(guards.length);
  });

  test('few guards are all run', () => {
    expect(names(guardsForCi(guards.slice(0, 4), { head: 'a', files: new Set() }))).toHaveLength(4);
  });
});

describe('recent work', () => {
  test('is what commits of the last 24 hours before the head changed, and what is not committed', async () => {
    const root = scratchDir({ 'packages/old.ts': '' });
    const git = (date: string, ...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
        cwd: root,
        env: { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
        stdio: ['ignore', 'pipe', 'ignore'],
      }).toString();
    const commit = (date: string, files: Record<string, string>) => {
      writeFiles(root, files);
      git(date, 'add', '.');
      git(date, 'commit', '-qm', 'x');
    };
    git('2020-01-01T00:00:00Z', 'init', '-q');
    commit('2020-01-01T00:00:00Z', {});
    commit('2020-01-03T01:00:00Z', { 'packages/recent.ts': '' });
    commit('2020-01-03T23:00:00Z', { 'packages/ä b.ts': '' });
    writeFiles(root, { 'packages/old.ts': 'changed', 'packages/new.ts': '' });
    expect(await recentWork(root)).toEqual({
      head: git('', 'rev-parse', 'HEAD').trim(),
      files: new Set(['packages/recent.ts', 'packages/ä b.ts', 'packages/old.ts', 'packages/new.ts']),
    });
  });

  test('is unknown outside git', async () => {
    expect(await recentWork(scratchDir())).toBeUndefined();
  });
});
