import { parseArgs } from 'node:util';
import { acquireDevStack, type DevStack } from '@orders/dev-stack';
import type { SoakCase, SoakContext, SoakOutcome } from './case.ts';
import { adversarial } from './cases/adversarial.ts';
import { backlog } from './cases/backlog.ts';
import { brokerOutage } from './cases/broker-outage.ts';
import { heldSnapshot } from './cases/held-snapshot.ts';
import { pgbouncer } from './cases/pgbouncer.ts';
import { postgresRestart } from './cases/postgres-restart.ts';
import { postgres15, postgres18 } from './cases/postgres-versions.ts';

const cases: readonly SoakCase[] = [
  adversarial,
  brokerOutage,
  postgresRestart,
  pgbouncer,
  postgres15,
  postgres18,
  backlog,
  heldSnapshot,
];

const help = `The outbox's long cases, on real servers, one after the other. Ends with "N passed, N failed, N skipped";
the exit status is 1 if one fails.

Usage: pnpm soak:outbox [--case NAME]… [--json] [--help]

${cases.map(({ name, about }) => `  ${name.padEnd(18)} ${about}`).join('\n')}

  --case   only this one; may be given several times
  --json   print the results as JSON on standard output; progress goes to standard error`;

type CaseResult = { readonly name: string; readonly seconds: number } & SoakOutcome;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
process.exit(await main());

async function main(): Promise<number> {
  const { values: flags } = parseArgs({
    options: {
      case: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (flags.help) {
    console.log(help);
    return 0;
  }
  const unknown = flags.case?.find((name) => !cases.some((one) => one.name === name));
  if (unknown !== undefined) {
    console.error(`unknown case: ${unknown}; see --help`);
    return 2;
  }
  const say = flags.json ? console.error : console.log;
  const chosen = cases.filter(({ name }) => flags.case?.includes(name) ?? true);
  const results = await runCases(chosen, say);
  const count = (outcome: SoakOutcome['outcome']) => results.filter((one) => one.outcome === outcome).length;
  const totals = { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
  if (flags.json) console.log(JSON.stringify({ ...totals, cases: results }, null, 2));
  else console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  return totals.failed === 0 ? 0 : 1;
}

async function runCases(chosen: readonly SoakCase[], say: (line: string) => void): Promise<CaseResult[]> {
  let stack: Promise<DevStack> | undefined;
  const results: CaseResult[] = [];
  for (const one of chosen) {
    const startMs = Date.now();
    const elapsedS = () => Math.round((Date.now() - startMs) / 1000);
    const log = (line: string) => say(`${one.name} ${String(elapsedS()).padStart(4)} s  ${line}`);
    say(`\n${one.name}: ${one.about}`);
    const outcome = await runCase(one, {
      log,
      servers: () => {
        stack ??= acquireDevStack({ log });
        return stack;
      },
    });
    results.push({ name: one.name, seconds: elapsedS(), ...outcome });
    for (const [name, value] of Object.entries(outcome.figures)) say(`  ${name.padEnd(26)} ${value}`);
    log(outcome.outcome === 'passed' ? 'passed' : `${outcome.outcome}: ${outcome.reason}`);
  }
  await (await stack)?.release();
  return results;
}

async function runCase(one: SoakCase, context: Omit<SoakContext, 'atEnd'>): Promise<SoakOutcome> {
  const closing: (() => Promise<unknown>)[] = [];
  try {
    return await one.run({ ...context, atEnd: (close) => closing.unshift(close) });
  } catch (error) {
    return { outcome: 'failed', reason: (error as Error).message, figures: {} };
  } finally {
    for (const close of closing) await close();
  }
}
