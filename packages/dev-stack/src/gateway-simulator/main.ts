import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { openLedger } from './ledger.ts';
import { createGatewayServer } from './server.ts';
import { defaultSettings } from './settings.ts';

const help = `A payment gateway to test against; it keeps its books in a ledger file of its own.

Usage: node src/gateway-simulator/main.ts --ledger <file> [options]

  --ledger <file>        JSON lines; keys found there are answered as they were
  --port <n>             default: any free port
  --host <address>       default 127.0.0.1
  --success-rate <0..1>  default ${defaultSettings.successRate}; the rest are soft declines
  --latency-ms <n>       default ${defaultSettings.latencyMs}
  --seed <text>          makes the drawn outcomes repeatable
  --help

Charges: POST /charges, GET /charges/:key. At run time: GET and POST /control.`;

const { values: flags } = parseArgs({
  options: {
    ledger: { type: 'string' },
    port: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    'success-rate': { type: 'string', default: String(defaultSettings.successRate) },
    'latency-ms': { type: 'string', default: String(defaultSettings.latencyMs) },
    seed: { type: 'string', default: randomUUID() },
    help: { type: 'boolean', short: 'h' },
  },
});

if (flags.help) console.log(help);
else await serve(flags);

async function serve(o: typeof flags): Promise<void> {
  if (o.ledger === undefined) throw new Error('--ledger is needed; see --help');
  const successRate = numberOf('success-rate', o['success-rate'], 1);
  const latencyMs = numberOf('latency-ms', o['latency-ms'], 600_000);
  const server = createGatewayServer({
    ledger: openLedger(o.ledger),
    seed: o.seed,
    initial: { ...defaultSettings, successRate, latencyMs },
  });
  // What was answered is in the ledger already, so there is nothing to drain.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0));
  const url = await server.listen({ host: o.host, port: numberOf('port', o.port, 65_535) });
  console.log(JSON.stringify({ msg: 'gateway simulator listens', url }));
}

function numberOf(name: string, text: string, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= max))
    throw new Error(`--${name}=${text}: a number from 0 to ${max} is needed`);
  return value;
}
