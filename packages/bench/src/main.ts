import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { exitStatus, relayBars } from './bars.ts';
import { benchRelay } from './relay-bench.ts';
import { type CaseName, caseNames, fullSizes, reductionsOf, type Wanted } from './sizes.ts';

/** A flight of the relay and a batch of the raw producers are 1,000 events; some must come after the first ones. */
const eventsMin = 3_000;

const help = `The outbox's relay, side by side with what bounds it; each figure is the median of ${fullSizes.rounds} interleaved rounds, with range.
Exit status 1 if a bar falls short or a case breaks.

Usage: pnpm bench relay [--json FILE] [--only CASE]… [--rounds N] [--events N] [--seconds N] [--bar NAME=VALUE]… [--cpu-prof DIR] [--help]

  --json      write the results to FILE; "-": to standard output, and everything else to standard error
  --only      one case: ${caseNames.join(', ')}; may be given several times
  --rounds    interleaved rounds (${fullSizes.rounds})
  --events    events of a drain, at most (${eventsMin} at least)
  --seconds   seconds of the held snapshot, of a latency round and of idleness, at most
  --bar       another limit for a bar; may be given several times
  --cpu-prof  write a CPU profile of each process that publishes to DIR

Whatever is smaller than full size says so at the end, and says nothing about the bars:
${Object.values(relayBars)
  .map(
    ({ name, about, bar, holds }) =>
      `  ${name.padEnd(25)} ${holds === 'at-least' ? '≥' : '≤'} ${String(bar).padEnd(4)} ${about}`,
  )
  .join('\n')}

A full run takes about 20 minutes and wants the machine for itself. Needs Java 17 or later.`;

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
  const { json, ...wanted } = asked;
  const say = json === '-' ? console.error : console.log;
  const report = await benchRelay(wanted, say);
  const text = `${JSON.stringify({ ...report, reductions: reductionsOf(wanted) }, null, 2)}\n`;
  if (json === '-') process.stdout.write(text);
  else if (json !== undefined) writeFileSync(json, text);
  return exitStatus(report);
}

/** What is wanted, or what is wrong with the question. */
function readCommand(): (Wanted & { json: string | undefined }) | string {
  try {
    const { values: flags, positionals } = parseArgs({
      options: {
        json: { type: 'string' },
        only: { type: 'string', multiple: true, default: [] },
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
    if (positionals.length !== 1 || positionals[0] !== 'relay') return 'say what to measure: bench relay';
    const unknown = flags.only.find((name) => !caseNames.includes(name as CaseName));
    if (unknown !== undefined) return `unknown case: ${unknown}`;
    return {
      json: flags.json,
      only: flags.only as CaseName[],
      rounds: count('rounds', flags.rounds),
      events: count('events', flags.events, eventsMin),
      seconds: count('seconds', flags.seconds),
      profileDir: flags['cpu-prof'],
      overrides: new Map(flags.bar.map(barOverride)),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

function count(name: string, given: string | undefined, min = 1): number | undefined {
  if (given === undefined) return undefined;
  if (!/^\d{1,9}$/.test(given) || Number(given) < min)
    throw new Error(`--${name} is a whole number, ${min} at least`);
  return Number(given);
}

function barOverride(given: string): [string, number] {
  const [, name = '', value = ''] = /^([^=]+)=(\d+(?:\.\d+)?)$/.exec(given) ?? [];
  if (!Object.values(relayBars).some((bar) => bar.name === name))
    throw new Error(`--bar is NAME=VALUE with one of the names below, not ${given}`);
  return [name, Number(value)];
}
