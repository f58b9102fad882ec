import { parseArgs } from 'node:util';
import { acquireDevStack } from '@orders/dev-stack';
import { createNarrator } from './narrator.ts';
import { tellStory } from './story.ts';
import { type System, startSystem } from './system.ts';

const help = `The main job, narrated: an order by HTTP, its events, its payment, and what happens when things go wrong.

Usage: pnpm demo [--keep] [--json] [--help]

  --keep   leave everything running afterwards and print how to use it; Ctrl-C ends it
  --json   print what was checked as JSON on standard output; the story goes to standard error

Needs Docker, or Java 17 with Maven. DEV_STACK=docker|embedded forces one.
Exit status 0 only if every check holds.`;

const flags = readFlags();

if (flags.help) console.log(help);
else process.exit(await demo());

function readFlags() {
  const options = {
    keep: { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`);
    return process.exit(2);
  }
}

async function demo(): Promise<number> {
  const tell = createNarrator(flags.json ? console.error : console.log);
  const interrupted = Promise.withResolvers<'interrupted'>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.resolve('interrupted'));

  let stack: Awaited<ReturnType<typeof acquireDevStack>> | undefined;
  let system: System | undefined;
  let failure: string | null = 'interrupted';
  const story = async () => {
    tell.part('services up');
    stack = await acquireDevStack({ log: (line) => tell.say(line) });
    tell.say(`${stack.mode}: PostgreSQL and Kafka (${stack.kafkaBrokers.join(', ')}) answer`);
    tell.say('ordersctl migrate, topics apply, keys create; gateway simulator');
    system = await startSystem({
      postgresUrl: stack.postgresUrl,
      kafkaBrokers: stack.kafkaBrokers,
      name: `demo_${Date.now().toString(36)}`,
      simulator: { successRate: 1, latencyMs: 500 },
    });
    await tellStory(system, tell);
    failure = null;
    tell.say(`All ${tell.checked.length} checks hold.`);
    if (flags.keep) {
      for (const line of howToUse(system)) tell.say(line);
      await interrupted.promise;
    }
  };
  try {
    await Promise.race([story(), interrupted.promise]);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    tell.say(`The demo failed: ${failure}`);
  } finally {
    await system?.close();
    await stack?.release();
  }
  if (flags.json)
    console.log(JSON.stringify({ ok: failure === null, failure, checked: tell.checked }, null, 2));
  return failure === null ? 0 : 1;
}

function howToUse(system: System): string[] {
  return [
    `API ${system.apiUrl}`,
    `GATEWAY_URL=${system.simulator.url}`,
    `DATABASE_URL=${system.databaseUrl}`,
    `KAFKA_BROKERS=${system.kafkaBrokers.join(',')} ORDERS_TOPIC=${system.topic}`,
    `API key ${system.apiKey}`,
    `curl -sS ${system.apiUrl}/v1/orders -H 'authorization: Bearer ${system.apiKey}' -H "idempotency-key: $RANDOM" -H 'content-type: application/json' -d '{"customerId":"c-1","currency":"EUR","paymentMethod":"tok_visa","items":[{"sku":"tea","name":"Tea","quantity":1,"unitAmountMinor":500}]}'`,
    'Everything stays up until Ctrl-C.',
  ];
}
