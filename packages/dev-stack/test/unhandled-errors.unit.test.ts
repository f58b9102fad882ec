import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startVitest } from 'vitest/node';
import { UnhandledErrors, unhandledErrorsFile } from '../src/unhandled-errors.ts';

// Inside the package, so that the file below finds vitest.
const reports = join(import.meta.dirname, '../.reports');
mkdirSync(reports, { recursive: true });
const root = mkdtempSync(join(reports, 'unhandled-'));
afterAll(() => rmSync(root, { recursive: true }));

test('an error that no test caught is written down with its place', async () => {
  writeFileSync(
    join(root, 'late.test.ts'),
    `import { expect, test } from 'vitest';
     test('passes', async () => {
       setTimeout(() => { throw new TypeError('cut off'); }, 1);
       await new Promise((resolve) => setTimeout(resolve, 50));
       expect(1).toBe(1);
     });`,
  );
  const exitCode = process.exitCode;
  const run = await startVitest('test', [], {
    root,
    config: false,
    watch: false,
    reporters: [new UnhandledErrors()],
  });
  await run.close();
  process.exitCode = exitCode; // it says there that the run failed
  const written = JSON.parse(readFileSync(join(root, unhandledErrorsFile), 'utf8'));
  expect(written).toEqual([expect.stringMatching(/^TypeError: cut off \(at .*late\.test\.ts:3:/)]);
});
