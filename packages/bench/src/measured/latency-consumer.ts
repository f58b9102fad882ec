import { writeFileSync } from 'node:fs';
import { createKafka, createLogger } from '@orders/service-runtime';
import { benchTopic } from '../bench-run.ts';
import { clockMs } from './clock.ts';
import { numberHeader } from './events.ts';
import { say, told } from './say.ts';

/** Notes when each event comes. */
export interface LatencyConsumerSettings {
  readonly kafkaBrokers: readonly string[];
  readonly groupId: string;
  readonly count: number;
  /** JSON array of times by number of the event. */
  readonly timesFile: string;
}

const settings = told<LatencyConsumerSettings>();
const logger = createLogger({ service: 'bench-consumer', level: 'warn' });
const timesMs = new Array<number>(settings.count).fill(Number.NaN);
let missing = settings.count;
const kafka = createKafka({ brokers: settings.kafkaBrokers, clientId: 'bench-consumer', logger });
// The broker answers as soon as there is something, so a long wait costs no latency.
const consumer = kafka.consumer({ groupId: settings.groupId, minBytes: 1, maxWaitTimeInMs: 500 });
consumer.on('consumer.group_join', () => say('ready'));
await consumer.connect();
await consumer.subscribe({ topic: benchTopic, fromBeginning: true });
await consumer.run({
  partitionsConsumedConcurrently: 12,
  autoCommit: false,
  eachBatch: async ({ batch }) => {
    const now = clockMs();
    for (const { headers } of batch.messages) arrived(Number(String(headers?.[numberHeader])), now);
  },
});

process.once('SIGTERM', async () => {
  await consumer.disconnect();
  process.exit(0);
});

function arrived(n: number, nowMs: number): void {
  if (!Number.isNaN(timesMs[n])) return; // again
  timesMs[n] = nowMs;
  missing -= 1;
  if (missing > 0) return;
  writeFileSync(settings.timesFile, JSON.stringify(timesMs));
  say('complete');
}
