import { createKafka, createLogger } from '@orders/service-runtime';
import { Partitioners } from 'kafkajs';
import { type RawSettings, sendAll } from './raw-sending.ts';
import { told } from './say.ts';

// kafkajs as a good user has it: its own partitioner, acks=all, several batches under way; no outbox, no adapter.
const settings = told<RawSettings>();
const logger = createLogger({ service: 'bench-raw-kafkajs', level: 'warn' });
const producer = createKafka({
  brokers: settings.kafkaBrokers,
  clientId: 'bench',
  logger,
}).producer({
  allowAutoTopicCreation: false,
  idempotent: false,
  createPartitioner: Partitioners.DefaultPartitioner,
});
await producer.connect();
const { topic } = settings;
await sendAll(
  settings,
  (record) => record,
  (messages) => producer.send({ topic, acks: -1, messages }),
);
await producer.disconnect();
