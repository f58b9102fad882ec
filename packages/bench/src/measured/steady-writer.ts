import { createDatabase } from '@orders/db';
import { createOutbox } from '@orders/outbox';
import { createLogger } from '@orders/service-runtime';
import { benchTopic } from '../bench-run.ts';
import { eventOf } from './events.ts';
import { acquireTimeoutMs, openLoop } from './open-loop.ts';
import { say, told } from './say.ts';

/** A service that writes events at a steady rate until it is told to end. */
export interface SteadyWriterSettings {
  readonly postgresUrl: string;
  readonly eventsPerSecond: number;
}

const eventsPerTransaction = 5;

const { postgresUrl, eventsPerSecond } = told<SteadyWriterSettings>();
const logger = createLogger({ service: 'bench-writer', level: 'warn' });
const { pool, close } = createDatabase({ url: postgresUrl, poolMax: 10, acquireTimeoutMs, logger });
const outbox = createOutbox({ pool });
let ending = false;
process.once('SIGTERM', () => {
  ending = true;
});
say('ready');
const startMs = performance.now();
const transactions = await openLoop(
  {
    ratePerSecond: eventsPerSecond / eventsPerTransaction,
    count: Number.POSITIVE_INFINITY,
    until: () => ending,
  },
  write,
);
const events = transactions * eventsPerTransaction;
say('written', { events, eventsPerSecond: (events / (performance.now() - startMs)) * 1000 });
await outbox.close();
await close();

async function write(n: number): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const numbers = Array.from({ length: eventsPerTransaction }, (_, i) => n * eventsPerTransaction + i);
    await outbox.add(
      client,
      numbers.map((one) => eventOf(one, benchTopic)),
    );
    await client.query('COMMIT');
  } finally {
    client.release();
  }
  outbox.wake();
}
