import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DevStackError } from '@orders/dev-stack';
import { shareCompileCache } from './compile-cache.ts';
import { ChecksError } from './errors.ts';
import { type Guard, guardsFolder, readGuards } from './guards/guard-patch.ts';
import { type GuardResult, runGuards } from './guards/run-guards.ts';
import { changedGuards, guardsForCi, recentWork } from './guards/select-guards.ts';
import { withDevStack } from './held-stack.ts';
import { abortOnSignals, interruptedStatus } from './interruption.ts';
import { workspaceRoot } from './workspace.ts';

const help = `Removes each guard, a line that keeps a promise, in a copy of the workspace and expects the tests that its patch
names to fail by an assertion. They must pass with the guard in place.

Usage: pnpm guards [name…] [--changed | --ci] [--json] [--help]

  name       only these, packages/checks/guards/<name>.patch; default: all
  --changed  only those whose patch, guarded file or test is uncommitted or changed in the last 24 hours of commits
  --ci       those, and five more drawn by the commit's hash
  --json     print the results as JSON on standard output; progress goes to standard error

Exit status 0 only if every one of them holds.`;

const { values: flags, positionals: names } = parseArgs({
  options: {
    changed: { type: 'boolean' },
    ci: { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
  allowPositionals: true,
});
const say = flags.json ? console.error : console.log;

if (flags.help) console.log(help);
else process.exit(await guards());

async function guards(): Promise<number> {
  shareCompileCache(workspaceRoot);
  const signal = abortOnSignals();
  const results: GuardResult[] = [];
  try {
    const onResult = (result: GuardResult) => {
      results.push(result);
      tell(result);
    };
    const { valid, broken } = await selectGuards();
    for (const result of broken) onResult(result);
    if (valid.length > 0)
      await withDevStack(signal, ({ postgresUrl, kafkaBrokers }) => {
        const environment = {
          DEV_STACK_POSTGRES_URL: postgresUrl,
          DEV_STACK_KAFKA_BROKERS: kafkaBrokers.join(','),
        };
        return runGuards(valid, { root: workspaceRoot, environment, signal, onResult, log: say });
      });
  } catch (error) {
    console.error(signal.aborted ? 'Interrupted.' : (error as Error).message);
    if (signal.aborted) return interruptedStatus;
    if (!(error instanceof ChecksError || error instanceof DevStackError)) throw error;
    return 1;
  }
  const failed = results.filter((result) => !result.holds).length;
  if (flags.json) console.log(JSON.stringify(results, null, 2));
  say(`${results.length} guards: ${results.length - failed} hold, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** The guards to run, and the failures of those wanted whose patch cannot even be read. */
async function selectGuards(): Promise<{ valid: Guard[]; broken: GuardResult[] }> {
  const all = readGuards(join(workspaceRoot, guardsFolder));
  const known = [...all.guards, ...all.broken].map((one) => one.name);
  if (known.length === 0)
    throw new ChecksError('CHECKS_TOOL_FAILED', `There is no patch in ${guardsFolder}.`);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new ChecksError('CHECKS_USAGE', `Unknown: ${unknown.join(', ')}. There are: ${known.join(', ')}`);
  const isWanted = ({ name }: { name: string }) => names.length === 0 || names.includes(name);
  const broken = all.broken.filter(isWanted).map(brokenResult);
  const valid = all.guards.filter(isWanted);
  const work = flags.ci || flags.changed ? await recentWork(workspaceRoot) : undefined;
  if (!work) return { valid, broken };
  return { valid: flags.ci ? guardsForCi(valid, work) : changedGuards(valid, work), broken };
}

function brokenResult({ name, error }: { name: string; error: ChecksError }): GuardResult {
  return {
    name,
    promise: 'its patch cannot be read',
    expect: 'red',
    holds: false,
    why: error.message,
    elapsedMs: 0,
  };
}

function tell({ name, promise, expect, holds, why = '', elapsedMs }: GuardResult): void {
  const seconds = `${(elapsedMs / 1000).toFixed(1)} s`.padStart(7);
  say(`${holds ? 'holds ' : 'FAILED'} ${seconds}  ${name} (${expect}): ${promise}`);
  for (const line of why.split('\n').filter(Boolean)) say(`                ${line}`);
}
