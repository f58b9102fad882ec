import { realpathSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../src/run.ts';
import { workspaceRoot } from '../src/workspace.ts';
import { linkVitest, scratchDir } from './scratch.ts';

/** A checkout with one package and one test of it. */
function checkout(property: string): string {
  const root = scratchDir({
    'packages/sums/package.json': '{ "name": "sums", "type": "module" }',
    'packages/sums/test/sums.unit.test.ts': `
      import fc from 'fast-check';
      import { expect, test } from 'vitest';
      test('sums are small', () => {
        ${property}
      });`,
    'packages/sums/test/plain.unit.test.ts': `throw new Error('has no property, and is not run');`,
  });
  const dir = join(root, 'packages/sums');
  linkVitest(dir);
  const fastCheck = realpathSync(join(import.meta.dirname, '../node_modules/fast-check'));
  symlinkSync(fastCheck, join(dir, 'node_modules/fast-check'));
  return root;
}

const fuzz = (root: string, ...more: string[]) =>
  runCommand(process.execPath, [
    join(workspaceRoot, 'packages/checks/src/fuzz-properties.ts'),
    ...['--root', root, '--seeds', '2', '--from', '7', ...more],
  ]);

const below = (limit: number) => `
  const number = fc.integer({ min: 0, max: 999 });
  fc.assert(fc.property(number, (n) => { expect(n).toBeLessThan(${limit}); }), { numRuns: 1, seed: 1 });`;

test('fuzz:properties tries more cases than the test asks for, and tells seed and counterexample', async () => {
  const root = checkout(below(999));
  const few = await fuzz(root, '--runs', '1');
  expect(few).toMatchObject({ status: 0, stdout: expect.stringContaining('2 seeds: all hold.') });
  const many = await fuzz(root, '--runs', '20000');
  expect(many.status).toBe(1);
  for (const seed of [7, 8]) {
    expect(many.stdout).toContain(`seed ${seed}: 0 passed, 1 failed`);
    expect(many.stdout).toContain(`{ seed: ${seed}, path:`);
  }
  expect(many.stdout).toContain('packages/sums/test/sums.unit.test.ts > sums are small');
  expect(many.stdout).toContain('Counterexample: [999]');
});

test('fuzz:properties fails where nothing is tried', async () => {
  expect(await fuzz(checkout('expect(fc).toBeDefined();'))).toMatchObject({
    status: 1,
    stdout: expect.stringContaining('no property was tried'),
  });
  expect(await fuzz(checkout(below(1000)), 'another')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('no unit test with a property matches'),
  });
  for (const runs of ['0', 'many'])
    expect(await fuzz(checkout(below(1000)), '--runs', runs)).toMatchObject({ status: 1, stdout: '' });
});

test('fuzz:properties passes where everything holds', async () => {
  expect(await fuzz(checkout(below(1000)), 'sums', '--runs', '100')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('seed 8: 1 passed, 0 failed'),
  });
});
