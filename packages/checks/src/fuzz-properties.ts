import { parseArgs } from 'node:util';
import { propertyTests, trySeed } from './properties/try-seed.ts';
import { workspaceRoot } from './workspace.ts';

const help = `Every property of the unit tests with many more cases than they try themselves, seed by seed.

Usage: pnpm fuzz:properties [filter…] [--seeds N] [--runs N] [--from SEED] [--root DIR] [--help]

  filter       part of a test file's path; default: all that use fast-check
  --seeds N    how many seeds (20)
  --runs N     cases per property and seed (10000)
  --from SEED  the first seed, the others follow it; default: drawn
  --root DIR   another checkout than this one

A found case belongs into the test as an example. Exit status: 0 all hold; 1 one does not, or nothing was tried.`;

const { values: flags, positionals: filters } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    runs: { type: 'string', default: '10000' },
    from: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    root: { type: 'string', default: workspaceRoot },
    help: { type: 'boolean', short: 'h' },
  },
  allowPositionals: true,
});

if (flags.help) console.log(help);
else process.exitCode = await fuzz();

async function fuzz(): Promise<number> {
  const [seeds, runs, from] = [flags.seeds, flags.runs, flags.from].map(Number) as [number, number, number];
  if (![seeds, runs].every((n) => Number.isSafeInteger(n) && n > 0) || !Number.isSafeInteger(from)) {
    console.error('--seeds and --runs are whole numbers above 0, --from is a whole number');
    return 1;
  }
  const files = propertyTests(flags.root).filter(
    (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
  );
  if (files.length === 0) {
    console.error('no unit test with a property matches');
    return 1;
  }
  console.log(`${files.length} files, ${runs} cases per property:\n${files.join('\n')}`);
  let failed = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const { passed, failures } = await trySeed(flags.root, files, { seed, runs });
    failed += failures.length;
    console.log(`seed ${seed}: ${passed} passed, ${failures.length} failed`);
    for (const { file, test, message } of failures) console.log(`${file} > ${test}\n${message}`);
    if (passed === 0) failed++; // as when no test was found
  }
  console.log(failed === 0 ? `${seeds} seeds: all hold.` : `${seeds} seeds: ${failed} failures`);
  return failed === 0 ? 0 : 1;
}
