import { connect, Socket } from 'node:net';
import { Kafka, logLevel } from 'kafkajs';
import { expect, it } from 'vitest';
import type { OutboundRecord } from '../src/index.ts';
import { createKafkajsPublisher } from '../src/kafkajs.ts';
import { publisherContract } from '../src/testing.ts';
import { kafkaClient, openTestTopic, readTopic, testStack, uniqueName } from './fixture.ts';

publisherContract('the kafkajs publisher', async () => ({
  publisher: createKafkajsPublisher({ kafka: kafkaClient() }),
  createTopic: (partitions) => openTestTopic('contract', { partitions }),
  missingTopic: () => uniqueName('missing'),
  read: readTopic,
  close: async () => undefined,
}));

/** A client whose network can be cut. */
function cuttableKafka() {
  const sockets = new Set<Socket>();
  const network = { down: false };
  const kafka = new Kafka({
    brokers: testStack().kafkaBrokers,
    logLevel: logLevel.NOTHING,
    retry: { retries: 1, initialRetryTime: 20, maxRetryTime: 50 },
    socketFactory: ({ host, port, onConnect }) => {
      if (network.down) {
        const socket = new Socket();
        setImmediate(() => socket.destroy(new Error('network is down')));
        return socket;
      }
      const socket = connect({ host, port }, onConnect);
      sockets.add(socket);
      return socket;
    },
  });
  const cut = () => {
    network.down = true;
    for (const socket of sockets) socket.destroy(new Error('network is down'));
  };
  return { kafka, cut, heal: () => (network.down = false) };
}

it('acknowledges nothing while the broker cannot be reached, and goes on by itself when it can', async () => {
  const topic = await openTestTopic('outage', { partitions: 2 });
  const record = (n: number): OutboundRecord => ({ id: '', topic, key: 'k', value: String(n), headers: {} });
  const { kafka, cut, heal } = cuttableKafka();
  const publisher = createKafkajsPublisher({ kafka });
  expect(await publisher.publish([record(1)])).toEqual([{ acknowledged: true }]);
  cut();
  for (let i = 0; i < 3; i++) {
    const [result] = await publisher.publish([record(2)]);
    expect(result?.acknowledged).toBe(false);
  }
  await expect(createKafkajsPublisher({ kafka }).connect()).rejects.toThrow();
  heal();
  const again = async () => (await publisher.publish([record(3)]))[0]?.acknowledged;
  await expect.poll(again, { timeout: 15_000 }).toBe(true);
  const values = (await readTopic(topic)).map((one) => one.value.toString());
  expect(values[0]).toBe('1');
  expect(values.at(-1)).toBe('3');
  await publisher.disconnect();
});

it('leaves no timer running while there is nothing to send', async () => {
  const publisher = createKafkajsPublisher({ kafka: kafkaClient() });
  const topic = await openTestTopic('idle');
  await publisher.publish([{ id: '', topic, key: 'k', value: '1', headers: {} }]);
  const shortTimers = () =>
    process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const before = shortTimers();
  await publisher.disconnect();
  expect(shortTimers()).toBeLessThanOrEqual(before);
});
