import { Producer } from '@platformatic/kafka';
import { expect, it } from 'vitest';
import { createPlatformaticPublisher } from '../src/platformatic.ts';
import { publisherContract } from '../src/testing.ts';
import { openTestTopic, readTopic, testStack, uniqueName } from './fixture.ts';

const createProducer = (bootstrapBrokers = testStack().kafkaBrokers) =>
  new Producer({ clientId: 'outbox-test', bootstrapBrokers, retries: 0, connectTimeout: 1_000 });

publisherContract('the @platformatic/kafka publisher', async () => ({
  publisher: createPlatformaticPublisher({ createProducer }),
  createTopic: (partitions) => openTestTopic('contract', { partitions }),
  missingTopic: () => uniqueName('missing'),
  read: readTopic,
  close: async () => undefined,
}));

it('asks for acks=all, for no topic, and for no sequence numbers', async () => {
  const asked: unknown[] = [];
  const publisher = createPlatformaticPublisher({
    createProducer: () => ({
      send: async ({ messages, ...rest }) => asked.push({ ...rest, count: messages.length }),
      metadata: async () => undefined,
      close: async () => undefined,
    }),
  });
  const record = { id: '', topic: 't', key: 'k', value: '1', headers: {} };
  expect(await publisher.publish([record, record])).toEqual([{ acknowledged: true }, { acknowledged: true }]);
  expect(asked).toEqual([{ acks: -1, idempotent: false, autocreateTopics: false, count: 2 }]);
});

it('acknowledges nothing while the broker cannot be reached, and takes another producer after a disconnect', async () => {
  const topic = await openTestTopic('outage');
  const away = ['127.0.0.1:1'];
  const producers = [createProducer(away), createProducer(away), createProducer()];
  const publisher = createPlatformaticPublisher({ createProducer: () => producers.shift() as Producer });
  const record = { id: '', topic, key: 'k', value: '1', headers: {} };
  await expect(publisher.connect()).rejects.toThrow();
  expect(await publisher.publish([record])).toMatchObject([{ acknowledged: false }]);
  await publisher.disconnect();
  await expect(publisher.connect()).rejects.toThrow();
  await publisher.disconnect();
  await publisher.connect();
  expect(await publisher.publish([record])).toEqual([{ acknowledged: true }]);
  expect((await readTopic(topic)).map(({ value }) => String(value))).toEqual(['1']);
  await publisher.disconnect();
  const over = { acknowledged: false, error: { code: 'OUTBOX_PUBLISHER_DISCONNECTED' } };
  expect(await publisher.publish([record])).toMatchObject([over]);
});
