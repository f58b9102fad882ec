import { writeFileSync } from 'node:fs';
import { createDatabase } from '@orders/db';
import { createOutbox } from '@orders/outbox';
import { createLogger } from '@orders/service-runtime';
import { benchTopic } from '../bench-run.ts';
import { clockMs } from './clock.ts';
import { eventOf } from './events.ts';
import { acquireTimeoutMs, openLoop } from './open-loop.ts';
import { createPublisher, type PublisherName } from './publishers.ts';
import { say, told } from './say.ts';

/** Writes or produces events one by one at a fixed rate, and notes when. */
export interface LatencyWriterSettings {
  /** `commit`: each event in a transaction of its own, through the outbox. `produce`: straight to the broker. */
  readonly mode: 'commit' | 'produce';
  readonly postgresUrl: string;
  readonly kafkaBrokers: readonly string[];
  readonly publisher: PublisherName;
  readonly eventsPerSecond: number;
  readonly count: number;
  /** JSON array of times by number of the event: commit acknowledged, or produce called. */
  readonly timesFile: string;
}

const settings = told<LatencyWriterSettings>();
const logger = createLogger({ service: 'bench-latency-writer', level: 'warn' });
const timesMs = new Array<number>(settings.count).fill(Number.NaN);
const { one, close } = settings.mode === 'commit' ? committing() : await producing();
say('ready');
const startMs = performance.now();
const { eventsPerSecond: ratePerSecond, count } = settings;
await openLoop({ ratePerSecond, count }, one);
writeFileSync(settings.timesFile, JSON.stringify(timesMs));
say('written', { eventsPerSecond: (settings.count / (performance.now() - startMs)) * 1000 });
await close();

function committing() {
  const database = createDatabase({ url: settings.postgresUrl, poolMax: 16, acquireTimeoutMs, logger });
  const outbox = createOutbox({ pool: database.pool });
  return {
    async one(n: number) {
      const event = eventOf(n, benchTopic);
      const client = await database.pool.connect();
      try {
        await client.query('BEGIN');
        await client.query({
          name: 'order',
          text: 'INSERT INTO bench_orders (id, data) VALUES ($1, $2)',
          values: [event.orderingKey, JSON.stringify(event.payload)],
        });
        await outbox.add(client, event);
        await client.query('COMMIT');
        timesMs[n] = clockMs();
      } finally {
        client.release();
      }
      outbox.wake(event.key);
    },
    async close() {
      await outbox.close();
      await database.close();
    },
  };
}

async function producing() {
  const publisher = createPublisher(settings.publisher, settings.kafkaBrokers, logger);
  await publisher.connect();
  return {
    async one(n: number) {
      const { id, topic, key, payload, headers = {} } = eventOf(n, benchTopic);
      const record = { id, topic, key, value: JSON.stringify(payload), headers };
      timesMs[n] = clockMs();
      const [result] = await publisher.publish([record]);
      if (!result?.acknowledged) throw new Error('not acknowledged', { cause: result?.error });
    },
    close: () => publisher.disconnect(),
  };
}
