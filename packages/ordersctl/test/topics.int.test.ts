import { testStack, uniqueName } from '@orders/dev-stack/testing';
import { deadLettersTopic, ordersTopic } from '@orders/events';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ordersctl } from './ordersctl.ts';

let admin: Admin;
let kafka: Kafka;
beforeAll(async () => {
  kafka = new Kafka({ brokers: testStack().kafkaBrokers, logLevel: logLevel.NOTHING });
  admin = kafka.admin();
  await admin.connect();
});
afterAll(() => admin?.disconnect());

const environment = (topic: string) => ({
  KAFKA_BROKERS: testStack().kafkaBrokers.join(','),
  ORDERS_TOPIC: topic,
  DEAD_LETTERS_TOPIC: `${topic}.dead-letters`,
});
const apply = (topic: string, ...flags: string[]) =>
  ordersctl(['topics', 'apply', ...flags], environment(topic));
const partitionsOf = async (topic: string) =>
  (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions ?? [];

describe('ordersctl topics apply', () => {
  it('creates the declared topics, ready to be written to; again it changes nothing', async () => {
    const topic = uniqueName('ctl-orders');
    const { name: _, ...declared } = ordersTopic;
    const { name: __, ...deadLetters } = deadLettersTopic;

    const first = await apply(topic, '--json');
    expect({ status: first.status, err: first.err }).toEqual({ status: 0, err: '' });
    expect(first.json()).toEqual({
      topics: [
        { name: topic, ...declared, outcome: 'created' },
        { name: `${topic}.dead-letters`, ...deadLetters, outcome: 'created' },
      ],
    });
    const partitions = await partitionsOf(topic);
    expect(partitions).toHaveLength(12);
    expect(partitions.every((partition) => partition.leader >= 0)).toBe(true);

    const producer = kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
    await producer.connect();
    const messages = Array.from({ length: 12 }, (_, partition) => ({ partition, value: 'x' }));
    await producer.send({ topic, messages });
    await producer.disconnect();

    expect((await apply(topic, '--json')).json()).toEqual({
      topics: [
        { name: topic, ...declared, outcome: 'unchanged' },
        { name: `${topic}.dead-letters`, ...deadLetters, outcome: 'unchanged' },
      ],
    });
    expect((await apply(topic)).out).toBe(
      `unchanged ${topic} (12 partitions)\nunchanged ${topic}.dead-letters (1 partitions)\n`,
    );
  });

  it('refuses an existing topic with another number of partitions and leaves it alone', async () => {
    const topic = uniqueName('ctl-narrow');
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false });
    await expect.poll(async () => (await partitionsOf(topic)).length, { timeout: 10_000 }).toBe(3);

    const { status, out, err } = await apply(topic);
    expect({ status, out }).toEqual({ status: 1, out: '' });
    expect(err).toContain(`topic ${topic} has 3 partitions where 12 are declared; nothing was changed`);
    expect(err).toMatch(/^error: [^\n]*\(ORDERSCTL_TOPIC_MISMATCH\)\n$/);
    expect(await partitionsOf(topic)).toHaveLength(3);
  });

  it('may be run by several processes at once', async () => {
    const topic = uniqueName('ctl-race');
    const runs = await Promise.all([1, 2, 3].map(() => apply(topic, '--json')));
    expect(runs.map(({ status, err }) => ({ status, err }))).toEqual(
      Array.from({ length: 3 }, () => ({ status: 0, err: '' })),
    );
    const outcomes = runs.flatMap((run) => run.json().topics as { name: string; outcome: string }[]);
    const created = outcomes.filter(({ name, outcome }) => name === topic && outcome === 'created');
    expect(created).toHaveLength(1);
  });

  it('passes on why Kafka refuses: more copies than brokers, by flag or by environment', async () => {
    const topic = uniqueName('ctl-copies');
    const env = { ...environment(topic), TOPICS_REPLICATION_FACTOR: '99' };
    const runs = [
      await apply(topic, '--replication-factor', '99'),
      await ordersctl(['topics', 'apply'], env),
    ];
    for (const { status, err } of runs) {
      expect(status).toBe(1);
      expect(err).toMatch(
        /^error: Kafka refuses to create topic ctl-copies[^\n]*Replication[^\n]*\(ORDERSCTL_TOPIC_REFUSED\)\n$/,
      );
    }
    expect(await admin.listTopics()).not.toContain(topic);
  });

  it('TLS to a broker that speaks none: the error says so', async () => {
    const { status, err } = await ordersctl(['topics', 'apply'], {
      ...environment(uniqueName('ctl-tls')),
      KAFKA_TLS: 'true',
    });
    expect(status).toBe(1);
    expect(err).toMatch(
      /^error: Kafka cannot be reached at [^\n]* \(as ANONYMOUS\): check KAFKA_TLS and the port[^\n]*\(ORDERSCTL_UNREACHABLE\)\n$/,
    );
  });
});
