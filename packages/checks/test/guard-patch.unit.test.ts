import { describe, expect, test } from 'vitest';
import { parseGuard, readGuards } from '../src/guards/guard-patch.ts';
import { scratchDir } from './scratch.ts';

const diff = `--- a/packages/a/src/x.ts
+++ b/packages/a/src/x.ts
@@ -1,2 +1,1 @@
--- a list item that looks like a header
 kept
`;
const header = `# guard: nothing is lost
# package: packages/a
# test: test/x.int.test.ts :: Test 1: A > b :: c
`;

describe('a patch file', () => {
  test('says what it guards, by which tests, and what it changes', () => {
    expect(parseGuard('/g/no-loss.patch', `${header}# test: test/y.unit.test.ts :: d\n${diff}`)).toEqual({
      name: 'no-loss',
      promise: 'nothing is lost',
      packageFolder: 'packages/a',
      tests: [
        { file: 'test/x.int.test.ts', name: 'Test 1: A > b :: c' },
        { file: 'test/y.unit.test.ts', name: 'd' },
      ],
      expect: 'red',
      files: ['packages/a/src/x.ts'],
      patchPath: '/g/no-loss.patch',
    });
  });

  test('may be one half of a pair, and may come from git', () => {
    const text = `${header}# expect: green\ndiff --git a/packages/b/src/y.ts b/packages/b/src/y.ts
index 1..2 100644
--- a/packages/b/src/y.ts
+++ /dev/null
@@ -1 +0,0 @@
-x
`;
    expect(parseGuard('/g/a.patch', text)).toMatchObject({ expect: 'green', files: ['packages/b/src/y.ts'] });
  });

  test.each([
    ['no diff', header, 'has no diff'],
    ['no promise', `# package: a\n# test: a :: b\n${diff}`, '"# guard: …"'],
    ['no package', `# guard: a\n# test: a :: b\n${diff}`, '"# package: …"'],
    ['two packages', `${header}# package: packages/b\n${diff}`, '"# package: …"'],
    ['no test', `# guard: a\n# package: a\n${diff}`, '"# test: <file> :: <full name>"'],
    [
      'a test without a name',
      `# guard: a\n# package: a\n# test: a.test.ts\n${diff}`,
      '"<file> :: <full name>"',
    ],
    ['another colour', `${header}# expect: blue\n${diff}`, 'red or green'],
    ['a diff without a file', `${header}--- x\n`, 'changes no file'],
    ['a changed test', `${header}${diff.replaceAll('src/x.ts', 'test/x.ts')}`, 'changes a test'],
  ])('with %s is refused', (_, text, why) => {
    expect(() => parseGuard('/g/a.patch', text)).toThrow(
      expect.objectContaining({ code: 'CHECKS_GUARD_INVALID', message: expect.stringContaining(why) }),
    );
  });

  test('a folder gives its guards in order, and the broken ones beside them', () => {
    const dir = scratchDir({ 'b.patch': header + diff, 'a.patch': header + diff, 'c.patch': '', 'd.md': '' });
    const { guards, broken } = readGuards(dir);
    expect(guards.map((one) => one.name)).toEqual(['a', 'b']);
    expect(broken.map((one) => one.name)).toEqual(['c']);
  });
});
