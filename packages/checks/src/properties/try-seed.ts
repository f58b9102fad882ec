import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { startVitest, type TestModule } from 'vitest/node';
import { listPackages } from '../workspace.ts';

/** What one seed showed. */
export interface SeedResult {
  readonly seed: number;
  readonly passed: number;
  readonly failures: readonly { readonly file: string; readonly test: string; readonly message: string }[];
}

/** The unit tests of a checkout that use fast-check, from its root. */
export function propertyTests(root: string): string[] {
  return listPackages(root).flatMap(({ dir }) =>
    testFiles(join(dir, 'test'))
      .filter((file) => readFileSync(file, 'utf8').includes("from 'fast-check'"))
      .map((file) => relative(root, file)),
  );
}

function testFiles(folder: string): string[] {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return names
      .filter((name) => name.endsWith('.unit.test.ts'))
      .toSorted()
      .map((name) => join(folder, name));
  } catch {
    return []; // a package without tests
  }
}

/** Runs test files with `runs` cases per property, whatever they say themselves. */
export async function trySeed(
  root: string,
  files: readonly string[],
  { seed, runs }: { seed: number; runs: number },
): Promise<SeedResult> {
  const failures: SeedResult['failures'][number][] = [];
  let passed = 0;
  function collect(modules: readonly TestModule[], unhandled: readonly { message: string }[]) {
    for (const module of modules) {
      const file = relative(root, module.moduleId);
      const add = (test: string, errors: readonly { message: string }[]) =>
        failures.push({ file, test, message: errors.map(({ message }) => message).join('\n') });
      passed += [...module.children.allTests('passed')].length;
      for (const test of module.children.allTests('failed')) add(test.fullName, test.result().errors ?? []);
      for (const suite of module.children.allSuites())
        if (suite.errors().length > 0) add(suite.fullName, suite.errors());
      if (module.errors().length > 0) add('the file', module.errors());
    }
    for (const { message } of unhandled) failures.push({ file: '', test: 'outside of a test', message });
  }
  const vitest = await startVitest('test', [], {
    config: false,
    root,
    include: [...files],
    setupFiles: [join(import.meta.dirname, 'more-cases.ts')],
    provide: { moreCases: { seed, runs } },
    reporters: [{ onTestRunEnd: collect }],
    maxWorkers: 2,
    testTimeout: 0,
    watch: false,
  });
  await vitest.close();
  process.exitCode = 0; // vitest sets it; the caller decides
  return { seed, passed, failures };
}
