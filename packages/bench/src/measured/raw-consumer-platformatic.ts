import { Consumer } from '@platformatic/kafka';
import { benchTopic } from '../bench-run.ts';
import type { RawConsumerSettings } from './raw-consumer-kafkajs.ts';
import { say, told } from './say.ts';
import { openWindow } from './window.ts';

// @platformatic/kafka as a good user has it: its stream, its own offset commits; no database.
const settings = told<RawConsumerSettings>();
const consumer = new Consumer({
  clientId: 'bench',
  groupId: settings.groupId,
  bootstrapBrokers: [...settings.kafkaBrokers],
});
const consumed = openWindow(settings.window);
process.once('SIGTERM', async () => {
  await consumer.close(true);
  process.exit(0);
});
const stream = await consumer.consume({ topics: [benchTopic], mode: 'earliest', autocommit: 1_000 });
say('ready');
stream.on('data', () => consumed(1));
