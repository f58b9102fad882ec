import { Producer, stringSerializers } from '@platformatic/kafka';
import { type RawSettings, sendAll } from './raw-sending.ts';
import { told } from './say.ts';

// @platformatic/kafka as a good user has it: its own partitioner, acks=all, several batches under way.
const settings = told<RawSettings>();
const producer = new Producer({
  clientId: 'bench',
  bootstrapBrokers: [...settings.kafkaBrokers],
  serializers: stringSerializers,
  retries: 0,
});
const { topic } = settings;
await sendAll(
  settings,
  ({ key, value, headers }) => ({ topic, key, value, headers }),
  (messages) => producer.send({ acks: -1, idempotent: false, autocreateTopics: false, messages }),
);
await producer.close();
