import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort, startGatewaySimulator } from '@orders/dev-stack';
import pg from 'pg';
import { createOrderClient } from './order-client.ts';
import { createOwnDatabase, dropOwnDatabase } from './own-database.ts';
import { createServices, type ServiceOptions } from './services.ts';
import { ordersctlMain } from './workspace.ts';

/** Everything that is running, and the few ways in which demo and tests talk to it. */
export type System = Awaited<ReturnType<typeof startSystem>>;

/**
 * Creates a database and topics of its own with the operators' commands, and starts the gateway simulator.
 * The services are started by the caller, each as a process of its own, as often as it likes.
 */
export async function startSystem(options: {
  /** URL of a superuser on any database of the server. */
  postgresUrl: string;
  kafkaBrokers: readonly string[];
  /** Name of the database, prefix of topic and group: lower case letters, digits and `_`. */
  name: string;
  simulator?: Parameters<typeof startGatewaySimulator>[0];
  /** The checkout whose `ordersctl` prepares it, with a `/` at its end; this one unless told. */
  checkout?: URL;
}) {
  const { name, postgresUrl, kafkaBrokers } = options;
  const topic = `${name}.orders.events`;
  const consumerGroup = `${name}.payment-worker`;
  const databaseUrl = await createOwnDatabase(postgresUrl, name);
  const environment = {
    DATABASE_URL: databaseUrl,
    KAFKA_BROKERS: kafkaBrokers.join(','),
    ORDERS_TOPIC: topic,
    DEAD_LETTERS_TOPIC: `${name}.orders.dead-letters`,
    LOG_LEVEL: 'info',
  };
  const ordersctl = (args: readonly string[], checkout = options.checkout) =>
    runOrdersctl(environment, args, checkout);
  await ordersctl(['migrate']);
  await ordersctl(['topics', 'apply']);
  const { key: apiKey } = await ordersctl(['keys', 'create', '--tenant', 'demo', '--name', name]);

  const port = await freePort();
  const apiUrl = `http://127.0.0.1:${port}`;
  const simulator = await startGatewaySimulator(options.simulator);
  const services = await createServices(environment);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4, allowExitOnIdle: true });
  pool.on('error', (error) => console.error(`idle connection of ${name}: ${error.message}`));

  const api = { PORT: String(port), HOST: '127.0.0.1' };
  const worker = { GATEWAY_URL: simulator.url, CONSUMER_GROUP: consumerGroup };
  return {
    databaseUrl,
    kafkaBrokers,
    topic,
    consumerGroup,
    apiUrl,
    apiKey: apiKey as string,
    pool,
    simulator,
    /** Runs `ordersctl … --json` of a checkout on this system, and returns its answer. */
    ordersctl,
    ...createOrderClient({ apiUrl, apiKey: apiKey as string, name }),
    startApi: (o: ServiceOptions = {}) => services.start('order-api', api, o),
    startRelay: (o: ServiceOptions = {}) => services.start('outbox-relay', {}, o),
    startWorker: (o: ServiceOptions = {}) => services.start('payment-worker', worker, o),

    /** What the gateway itself says about an order: one entry per captured or declined charge. */
    charges: async (orderId: string) =>
      (await simulator.ledger()).filter((entry) => entry.reference === orderId),

    /** Ends everything this system started, and drops its database. */
    async close(): Promise<void> {
      await services.close();
      await simulator.stop();
      await pool.end();
      await dropOwnDatabase(postgresUrl, name);
    },
  };
}

const run = promisify(execFile);

/** Runs `ordersctl … --json` as a process and returns its answer. */
async function runOrdersctl(
  env: Record<string, string>,
  args: readonly string[],
  checkout: URL | undefined,
): Promise<Record<string, unknown>> {
  const { stdout } = await run(
    process.execPath,
    [fileURLToPath(ordersctlMain(checkout)), ...args, '--json'],
    {
      env: { ...env, PATH: process.env.PATH },
    },
  );
  return JSON.parse(stdout);
}
