import { parseArgs } from 'node:util';
import { acquireDevStack } from '../stack.ts';
import type { SoakCase } from './case.ts';
import { closingLine, runCases, totalsOf } from './runner.ts';

/** A package's long cases as a command. */
export interface SoakCommand {
  /** As it is called: `pnpm soak:outbox`. */
  readonly command: string;
  readonly about: string;
  readonly cases: readonly SoakCase[];
}

/** Runs the cases that the command line names, or all, and ends the process: with 1 if one has failed. */
export async function soakMain(soak: SoakCommand): Promise<never> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
  process.exit(await run(soak));
}

const helpOf = ({ command, about, cases }: SoakCommand): string => `${about}
Real servers, one case after the other. Ends with "N passed, N failed, N skipped"; the exit status is 1 if one fails.

Usage: ${command} [--case NAME]… [--json] [--help]

${cases.map((one) => `  ${one.name.padEnd(18)} ${one.about}`).join('\n')}

  --case   only this one; may be given several times
  --json   print the results as JSON on standard output; progress goes to standard error`;

async function run(soak: SoakCommand): Promise<number> {
  const { values: flags } = parseArgs({
    options: {
      case: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (flags.help) {
    console.log(helpOf(soak));
    return 0;
  }
  const unknown = flags.case?.find((name) => !soak.cases.some((one) => one.name === name));
  if (unknown !== undefined) {
    console.error(`unknown case: ${unknown}; see --help`);
    return 2;
  }
  const say = flags.json ? console.error : console.log;
  const chosen = soak.cases.filter(({ name }) => flags.case?.includes(name) ?? true);
  const results = await runCases(chosen, { say, acquire: (log) => acquireDevStack({ log }) });
  const totals = totalsOf(results);
  if (flags.json) console.log(JSON.stringify({ ...totals, cases: results }, null, 2));
  else console.log(`\n${closingLine(totals)}`);
  return totals.failed === 0 ? 0 : 1;
}
