import { parseArgs } from 'node:util';
import { acquireDevStack, stopDevStack } from './stack.ts';

const help = `Holds a real PostgreSQL and a real Kafka and prints their URLs, until Ctrl-C. Tests and demo share it.

Usage: pnpm dev-stack [stop] [--json] [--help]

  stop     ends it now, whoever holds it, and what a killed one left behind
  --json   print the URLs as one line of JSON on standard output, all else on standard error

Environment:
  DEV_STACK=docker|embedded   forces one; otherwise Docker if an engine answers, else embedded servers
  DEV_STACK_POSTGRES_URL, DEV_STACK_KAFKA_BROKERS   servers of your own; nothing is started
  DEV_STACK_SCOPE             a stack of another name is a separate one
  DEV_STACK_LINGER_MS         how long it outlives the test run that used it last (10000)

Embedded needs Java 17 or later and, once, Maven.`;

process.exitCode = await run().catch((error: Error) => {
  console.error(error.message);
  return 1;
});

async function run(): Promise<number> {
  const { values: flags, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  const [command = 'hold', ...more] = positionals;
  if (flags.help) return tell(help);
  if (more.length === 0 && command === 'hold') return hold(flags.json === true);
  if (more.length > 0 || command !== 'stop')
    throw new Error(`unknown command: ${positionals.join(' ')}; see --help`);
  await stopDevStack();
  return flags.json ? tell('{"stopped":true}') : tell('The development stack is stopped.');
}

async function hold(json: boolean): Promise<number> {
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => resolve('interrupted'));
  });
  const acquired = acquireDevStack({ log: console.error });
  // Interrupted before it is up: our leaving makes the daemon end what it has started.
  const stack = await Promise.race([acquired, interrupted]);
  if (stack === 'interrupted') process.exit(1);

  const { mode, postgresUrl, kafkaBrokers } = stack;
  if (json) tell(JSON.stringify({ mode, postgresUrl, kafkaBrokers }));
  else {
    tell(`mode                     ${mode}`);
    tell(`DEV_STACK_POSTGRES_URL   ${postgresUrl}`);
    tell(`DEV_STACK_KAFKA_BROKERS  ${kafkaBrokers.join(',')}`);
    tell('It stays up until Ctrl-C.');
  }
  // A stack of the environment is nothing that has to be held, but the command is.
  const staying = setInterval(() => undefined, 60_000);
  const ended = stack.ended.then(() => 'ended' as const);
  const why = await Promise.race([ended, interrupted]);
  clearInterval(staying);
  if (why === 'ended')
    throw new Error('The development stack has ended; somebody stopped it, or a server died.');
  await stack.release();
  return 0;
}

function tell(text: string): 0 {
  console.log(text);
  return 0;
}
