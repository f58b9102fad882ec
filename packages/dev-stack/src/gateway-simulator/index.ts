import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DevStackError } from '../errors.ts';
import { type ServiceProcess, startService } from '../service-process.ts';
import { waitFor } from '../wait-for.ts';
import { type LedgerEntry, parseLedger } from './ledger.ts';
import type { SimulatorSettings } from './settings.ts';

export type { LedgerEntry } from './ledger.ts';
export type { ChargeMode, SimulatorSettings } from './settings.ts';

export interface GatewaySimulatorOptions {
  /** Share of the charges that are captured, 0 to 1 (default 0.7); the rest are soft declines. */
  successRate?: number;
  /** How long a charge takes (default 500). */
  latencyMs?: number;
  /** Makes the drawn outcomes repeatable: they depend on seed and idempotency key. */
  seed?: string | number;
  /** Continues this ledger; without it a temporary one is kept until `stop`. */
  ledgerFile?: string;
  /** Listens there, for a gateway that comes back where it was; default any free port. */
  port?: number;
}

/** A running gateway simulator. */
export interface GatewaySimulator {
  readonly url: string;
  readonly ledgerFile: string;
  readonly process: ServiceProcess;
  /** Changes its settings; returns them all. */
  control(change: Partial<SimulatorSettings>): Promise<SimulatorSettings>;
  /** How many charges it is working on. */
  inFlight(): Promise<number>;
  /** Its books, read from the file: what it will still know after a crash. */
  ledger(): Promise<LedgerEntry[]>;
  stop(): Promise<void>;
}

const main = new URL('./main.ts', import.meta.url);

/** Starts the gateway simulator as a process of its own, which ends at `stop` or with this process. */
export async function startGatewaySimulator(
  options: GatewaySimulatorOptions = {},
): Promise<GatewaySimulator> {
  const scratch = options.ledgerFile === undefined ? await createScratch() : undefined;
  const ledgerFile = options.ledgerFile ?? join(scratch as string, 'ledger.jsonl');
  const service = await startService({
    name: 'gateway-simulator',
    entry: main,
    args: ['--ledger', ledgerFile, ...flagsOf(options)],
  });
  const stop = async () => {
    await service.stop();
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  };
  try {
    const url = await urlOf(service);
    return {
      url,
      ledgerFile,
      process: service,
      control: (change) => exchange(`${url}/control`, change),
      inFlight: async () => (await exchange<{ inFlight: number }>(`${url}/control`)).inFlight,
      ledger: async () => parseLedger(await readFile(ledgerFile, 'utf8')),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A directory that is ours by its name; those of starters that were killed, and cleaned nothing up, are removed. */
async function createScratch(): Promise<string> {
  for (const name of await readdir(tmpdir())) {
    const owner = /^orders-gateway-of-(\d+)-/.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner)))
      await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
  return mkdtemp(join(tmpdir(), `orders-gateway-of-${process.pid}-`));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function flagsOf(options: GatewaySimulatorOptions): string[] {
  const flags = {
    port: options.port,
    'success-rate': options.successRate,
    'latency-ms': options.latencyMs,
    seed: options.seed,
  };
  return Object.entries(flags).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
}

/** The URL it tells in its log, or the reason why there is none. */
async function urlOf(service: ServiceProcess): Promise<string> {
  let ended = false;
  void service.exited.then(() => {
    ended = true;
  });
  const url = await waitFor(
    'the gateway simulator to listen',
    async () => (ended ? true : (service.logs.find((line) => line.url)?.url as string | undefined)),
    { intervalMs: 10 },
  );
  if (typeof url === 'string') return url;
  const log = service.logs.map((line) => line.msg).join('\n');
  throw new DevStackError('DEV_STACK_START_FAILED', `The gateway simulator did not start. Its log:\n${log}`);
}

async function exchange<T = SimulatorSettings>(url: string, body?: object): Promise<T> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  };
  const response = await fetch(url, body === undefined ? {} : init);
  if (!response.ok) throw new Error(`gateway simulator: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
