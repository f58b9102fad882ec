import { connect, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { expect, it, vi } from 'vitest';
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

/** A client whose network can be cut, or swallow the next answer and then break the connection. */
function cuttableKafka() {
  const sockets = new Set<Socket>();
  const network = { down: false, answersLost: 0 };
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
      const listen = socket.on.bind(socket);
      const losing = (listener: (data: Buffer) => void) => (data: Buffer) => {
        if (network.answersLost === 0) return listener(data);
        network.answersLost -= 1;
        socket.destroy(new Error('connection lost'));
      };
      return Object.assign(socket, {
        on: (event: string, listener: (data: Buffer) => void) =>
          listen(event, event === 'data' ? losing(listener) : listener),
      });
    },
  });
  const cut = () => {
    network.down = true;
    for (const socket of sockets) socket.destroy(new Error('network is down'));
  };
  const loseNextAnswer = () => {
    network.answersLost = 1;
  };
  return { kafka, cut, heal: () => (network.down = false), loseNextAnswer };
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
  const over = { acknowledged: false, error: { code: 'OUTBOX_PUBLISHER_DISCONNECTED' } };
  expect(await publisher.publish([record(4)])).toMatchObject([over]);
});

it('an answer that is lost loses no record: what is acknowledged is on the topic, and its neighbours too', async () => {
  const topic = await openTestTopic('lost-answer');
  const { kafka, loseNextAnswer } = cuttableKafka();
  const publisher = createKafkajsPublisher({ kafka });
  const publish = async (value: string) => {
    for (let attempt = 1; attempt <= 20; attempt++) {
      const [result] = await publisher.publish([{ id: '', topic, key: 'k', value, headers: {} }]);
      if (result?.acknowledged) return true;
    }
    return false;
  };
  expect(await publish('first')).toBe(true);
  loseNextAnswer();
  expect(await Promise.all(['a', 'b', 'c'].map(publish))).toEqual([true, true, true]);
  const values = new Set((await readTopic(topic)).map((record) => record.value.toString()));
  expect(values).toEqual(new Set(['first', 'a', 'b', 'c']));
  await publisher.disconnect();
});

it('an idle connection does not keep setting timers with a negative delay, as kafkajs would', async () => {
  const publisher = createKafkajsPublisher({ kafka: kafkaClient() });
  const topic = await openTestTopic('idle');
  await publisher.publish([{ id: '', topic, key: 'k', value: '1', headers: {} }]);
  const timers = vi.spyOn(globalThis, 'setTimeout');
  await sleep(100);
  expect(timers.mock.calls.filter(([, ms = 0]) => ms < 0)).toEqual([]);
  await publisher.disconnect();
});
