import { createKafka, createLogger } from '@orders/service-runtime';
import { benchTopic } from '../bench-run.ts';
import { say, told } from './say.ts';
import { openWindow, type WindowSettings } from './window.ts';

/** What a raw consumer is started with. */
export interface RawConsumerSettings {
  readonly kafkaBrokers: readonly string[];
  readonly groupId: string;
  readonly window: WindowSettings;
}

// kafkajs as a good user has it: whole batches, its own offset commits; no database.
const settings = told<RawConsumerSettings>();
const logger = createLogger({ service: 'bench-raw-consumer', level: 'warn' });
const kafka = createKafka({ brokers: settings.kafkaBrokers, clientId: 'bench', logger });
const consumer = kafka.consumer({ groupId: settings.groupId });
const consumed = openWindow(settings.window);
await consumer.connect();
await consumer.subscribe({ topic: benchTopic, fromBeginning: true });
process.once('SIGTERM', async () => {
  await consumer.disconnect();
  process.exit(0);
});
say('ready');
await consumer.run({
  partitionsConsumedConcurrently: 3,
  eachBatch: async ({ batch }) => consumed(batch.messages.length),
});
