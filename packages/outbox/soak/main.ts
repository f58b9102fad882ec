import { parseArgs } from 'node:util';
import { acquireDevStack } from '@orders/dev-stack';
import type { SoakCase } from './case.ts';
import { adversarial } from './cases/adversarial.ts';
import { autovacuum, autovacuum15 } from './cases/autovacuum.ts';
import { backlog } from './cases/backlog.ts';
import { brokerOutage } from './cases/broker-outage.ts';
import { heldSnapshot } from './cases/held-snapshot.ts';
import { idle } from './cases/idle.ts';
import { pgbouncer } from './cases/pgbouncer.ts';
import { postgresRestart } from './cases/postgres-restart.ts';
import { postgres15, postgres18 } from './cases/postgres-versions.ts';
import { turmoil } from './cases/turmoil.ts';
import { closingLine, runCases, totalsOf } from './runner.ts';

const cases: readonly SoakCase[] = [
  adversarial,
  turmoil,
  brokerOutage,
  postgresRestart,
  pgbouncer,
  postgres15,
  postgres18,
  backlog,
  heldSnapshot,
  idle,
  autovacuum,
  autovacuum15,
];

const help = `The outbox's long cases, on real servers, one after the other. Ends with "N passed, N failed, N skipped";
the exit status is 1 if one fails.

Usage: pnpm soak:outbox [--case NAME]… [--json] [--help]

${cases.map(({ name, about }) => `  ${name.padEnd(18)} ${about}`).join('\n')}

  --case   only this one; may be given several times
  --json   print the results as JSON on standard output; progress goes to standard error`;

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
  const results = await runCases(chosen, { say, acquire: (log) => acquireDevStack({ log }) });
  const totals = totalsOf(results);
  if (flags.json) console.log(JSON.stringify({ ...totals, cases: results }, null, 2));
  else console.log(`\n${closingLine(totals)}`);
  return totals.failed === 0 ? 0 : 1;
}
