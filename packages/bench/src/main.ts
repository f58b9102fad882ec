import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { exitStatus } from './bars.ts';
import type { Bench, Wanted } from './bench-run.ts';
import { consumerBench } from './consumer-bench.ts';
import { relayBench } from './relay-bench.ts';
import { runBench } from './run-bench.ts';
import { reductionsOf } from './sizes.ts';

const benches = { relay: relayBench, consumer: consumerBench };
type BenchName = keyof typeof benches;

/** `--quick`: enough to see that everything works. */
const quick = { rounds: '1', events: '3000', seconds: '1' };

const help = `Measurements side by side; each figure is the median of interleaved rounds, with range.
Exit status 1 if a bar falls short or a case breaks.

Usage: pnpm bench ${Object.keys(benches).join('|')} [--json FILE] [--only CASE]… [--quick] [--rounds N] [--events N] [--seconds N] [--bar NAME=VALUE]… [--cpu-prof DIR] [--help]

  --json      write the results to FILE; "-": to standard output, and everything else to standard error
  --only      one case; may be given several times
  --quick     as small as can be, to see that everything works
  --rounds    interleaved rounds (5)
  --events    events that are drained or consumed, at most
  --seconds   seconds of whatever is measured for a time, at most
  --bar       another limit for a bar; may be given several times
  --cpu-prof  write a CPU profile of each process that publishes or consumes to DIR

Whatever is smaller than full size says so at the end, and says nothing about the bars. A full run wants the machine
for itself. Needs Java 17 or later.
${Object.values(benches).map(aboutOf).join('\n')}`;

function aboutOf({ name, about, takes, cases, bars, eventsMin }: (typeof benches)[BenchName]): string {
  const lines = Object.values(bars).map((bar) => {
    const sign = bar.holds === 'at-least' ? '≥' : '≤';
    return `    ${bar.name.padEnd(30)} ${sign} ${String(bar.bar).padEnd(4)} ${bar.about}`;
  });
  const caseList = `  Cases: ${Object.keys(cases).join(', ')}; --events ${eventsMin} at least; takes ${takes}.`;
  return [`\n${name}: ${about}.`, caseList, ...lines].join('\n');
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
process.exit(await main());

async function main(): Promise<number> {
  const asked = readCommand();
  if (asked === 'help') {
    console.log(help);
    return 0;
  }
  if (typeof asked === 'string') {
    console.error(`${asked}; see --help`);
    return 2;
  }
  const { name, json, ...wanted } = asked;
  const say = json === '-' ? console.error : console.log;
  const { report, reductions } =
    name === 'relay' ? await measure(relayBench, wanted, say) : await measure(consumerBench, wanted, say);
  const text = `${JSON.stringify({ ...report, reductions }, null, 2)}\n`;
  if (json === '-') process.stdout.write(text);
  else if (json !== undefined) writeFileSync(json, text);
  return exitStatus(report);
}

async function measure<Size extends object, Case extends string, Bar extends string>(
  bench: Bench<Size, Case, Bar>,
  wanted: Wanted,
  say: (line: string) => void,
) {
  return { report: await runBench(bench, wanted, say), reductions: reductionsOf(bench, wanted) };
}

/** What is wanted, or what is wrong with the question. */
function readCommand(): (Wanted & { name: BenchName; json: string | undefined }) | string {
  try {
    const { values: flags, positionals } = parseArgs({
      options: {
        json: { type: 'string' },
        only: { type: 'string', multiple: true, default: [] },
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        events: { type: 'string' },
        seconds: { type: 'string' },
        bar: { type: 'string', multiple: true, default: [] },
        'cpu-prof': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
      allowPositionals: true,
    });
    if (flags.help) return 'help';
    const [name, ...others] = positionals;
    if (!isBench(name) || others.length > 0)
      return `say what to measure: bench ${Object.keys(benches).join(' or ')}`;
    const { cases, bars, eventsMin } = benches[name];
    const unknown = flags.only.find((one) => !Object.hasOwn(cases, one));
    if (unknown !== undefined) return `unknown case: ${unknown}`;
    const sizes = { ...(flags.quick ? quick : {}), ...definedOf(flags) };
    return {
      name,
      json: flags.json,
      only: flags.only,
      rounds: count('rounds', sizes.rounds),
      events: count('events', sizes.events, eventsMin),
      seconds: count('seconds', sizes.seconds),
      profileDir: flags['cpu-prof'],
      overrides: new Map(flags.bar.map((given) => barOverride(given, Object.values(bars)))),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

function isBench(name: string | undefined): name is BenchName {
  return name !== undefined && Object.hasOwn(benches, name);
}

/** A flag that was not given must not stand for one that was. */
function definedOf(flags: Partial<typeof quick>): Partial<typeof quick> {
  const { rounds, events, seconds } = flags;
  const given = Object.entries({ rounds, events, seconds }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

function count(name: string, given: string | undefined, min = 1): number | undefined {
  if (given === undefined) return undefined;
  if (!/^\d{1,9}$/.test(given) || Number(given) < min)
    throw new Error(`--${name} is a whole number, ${min} at least`);
  return Number(given);
}

function barOverride(given: string, bars: readonly { name: string }[]): [string, number] {
  const [, name = '', value = ''] = /^([^=]+)=(\d+(?:\.\d+)?)$/.exec(given) ?? [];
  if (!bars.some((bar) => bar.name === name))
    throw new Error(`--bar is NAME=VALUE with one of the names that --help lists, not ${given}`);
  return [name, Number(value)];
}
