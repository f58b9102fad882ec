import { randomUUID } from 'node:crypto';
import { partitionOf } from '../kafkajs/murmur2.ts';
import type { OutboundRecord, Publisher } from '../publisher.ts';

/** Only the contract needs it: the rest of the test kits is for any test runner. */
const vitest = await import('vitest').catch((error: Error) => error);

/** A record as a consumer of the broker sees it. */
export interface ReceivedRecord {
  readonly partition: number;
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** What the contract needs of an adapter and its broker. */
export interface PublisherUnderTest {
  readonly publisher: Publisher;
  /** Creates a topic with a name of its own, and returns the name. */
  createTopic(partitions: number): Promise<string>;
  /** Name of a topic that does not exist. */
  missingTopic(): string;
  /** Everything on the topic, in the order of each partition. */
  read(topic: string): Promise<readonly ReceivedRecord[]>;
  close(): Promise<void>;
}

/**
 * The test suite that every {@link Publisher} passes; call it in a test file of the adapter.
 * @throws Error when vitest is not installed
 */
export function publisherContract(name: string, open: () => Promise<PublisherUnderTest>): void {
  if (vitest instanceof Error) throw vitest;
  const { afterAll, beforeAll, describe } = vitest;
  describe(`${name} is a Publisher`, () => {
    let broker: PublisherUnderTest;
    // Not connected first: a publisher connects by itself.
    beforeAll(async () => {
      broker = await open();
    });
    afterAll(async () => {
      await broker?.publisher.disconnect();
      await broker?.close();
    });
    contractTests(vitest, () => broker);
    permanentErrors(vitest, () => broker);
  });
}

function contractTests({ expect, it }: typeof import('vitest'), broker: () => PublisherUnderTest): void {
  const expectAllAcknowledged = async (publisher: Publisher, records: OutboundRecord[]) =>
    expect(await publisher.publish(records)).toEqual(records.map(() => acknowledged));

  it('publishes key, value and headers as they are, JSON text and bytes', async () => {
    const topic = await broker().createTopic(1);
    const bytes = Uint8Array.of(0, 255, 128, 10);
    const records = [
      recordFor(topic, 'ключ', '{"a": "ü"}', { ce_id: '1', empty: '' }),
      { ...recordFor(topic, 'b', ''), value: bytes },
    ];
    expect(await broker().publisher.publish(records)).toEqual([acknowledged, acknowledged]);
    const [text, binary] = await broker().read(topic);
    expect({ ...text, value: Buffer.from(text?.value ?? []).toString() }).toEqual({
      partition: 0,
      key: 'ключ',
      value: '{"a": "ü"}',
      headers: { ce_id: '1', empty: '' },
    });
    expect([...(binary?.value ?? [])]).toEqual([...bytes]);
  });

  it("keeps the order of each key, in one partition, the one that Kafka's default partitioner chooses", async () => {
    const topic = await broker().createTopic(5);
    const numbered = (from: number) =>
      Array.from({ length: 100 }, (_, i) => recordFor(topic, `key-${i % 10}`, String(from + i)));
    for (const from of [0, 100, 200]) await expectAllAcknowledged(broker().publisher, numbered(from));
    const received = await broker().read(topic);
    expect(received).toHaveLength(300);
    for (const [key, ofKey] of Map.groupBy(received, (record) => record.key)) {
      const numbers = ofKey.map((record) => Number(Buffer.from(record.value).toString()));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      expect(new Set(ofKey.map((record) => record.partition))).toEqual(new Set([partitionOf(key, 5)]));
    }
  });

  it('does not acknowledge records of a missing topic, does not create it, and publishes the others', async () => {
    const topic = await broker().createTopic(1);
    const missing = broker().missingTopic();
    const records = ['1', '2', '3', '4'].map((n, i) => recordFor(i % 2 === 0 ? topic : missing, 'k', n));
    for (let call = 1; call <= 2; call++) {
      const results = await broker().publisher.publish(records);
      expect(results.map((result) => result.acknowledged)).toEqual([true, false, true, false]);
      expect(await broker().read(topic)).toHaveLength(2 * call);
    }
  });

  it('publishes more in one call than a broker takes in one batch', async () => {
    const topic = await broker().createTopic(2);
    const large = 'x'.repeat(50_000);
    const records = Array.from({ length: 40 }, (_, i) => recordFor(topic, `key-${i % 3}`, `${i}:${large}`));
    await expectAllAcknowledged(broker().publisher, records);
    expect(await broker().read(topic)).toHaveLength(40);
  });

  it('has nothing to do for no records', async () => {
    expect(await broker().publisher.publish([])).toEqual([]);
  });

  it('acknowledges nothing between disconnect and connect', async () => {
    const topic = await broker().createTopic(1);
    await broker().publisher.disconnect();
    const refused = await broker().publisher.publish([recordFor(topic, 'k', '1')]);
    expect(refused).toEqual([{ acknowledged: false, error: expect.any(Error) }]);
    await broker().publisher.connect();
    await broker().publisher.connect();
    await expectAllAcknowledged(broker().publisher, [recordFor(topic, 'k', '2')]);
    const values = (await broker().read(topic)).map((record) => Buffer.from(record.value).toString());
    expect(values).toEqual(['2']);
  });
}

function permanentErrors({ expect, it }: typeof import('vitest'), broker: () => PublisherUnderTest): void {
  it('says permanent of the one record that the broker never takes, and publishes the other keys', async () => {
    const topic = await broker().createTopic(1);
    const tooLarge = recordFor(topic, 'poisoned', 'x'.repeat(2_000_000));
    const records = [
      ...['1', '2', '3'].map((n) => recordFor(topic, 'before', n)),
      recordFor(topic, 'poisoned', 'earlier'),
      tooLarge,
      recordFor(topic, 'poisoned', 'later'),
      ...['1', '2', '3'].map((n) => recordFor(topic, 'after', n)),
    ];
    const results = await broker().publisher.publish(records);
    const of = (index: number) => results[index] as { acknowledged: boolean; permanent?: true };
    expect(results.map((result) => result.acknowledged)).toEqual(
      records.map((record) => record !== tooLarge && Buffer.from(record.value).toString() !== 'later'),
    );
    expect([of(4).permanent, of(5).permanent]).toEqual([true, undefined]);
    const values = (await broker().read(topic)).map((one) => `${one.key} ${Buffer.from(one.value)}`);
    expect(new Set(values)).toEqual(
      new Set(['before 1', 'before 2', 'before 3', 'poisoned earlier', 'after 1', 'after 2', 'after 3']),
    );
  });

  it('says permanent of a record that has no bytes, and publishes the others', async () => {
    const topic = await broker().createTopic(1);
    const headers = { number: 5 } as unknown as Record<string, string>;
    const records = [
      recordFor(topic, 'a', '1'),
      recordFor(topic, 'b', '2', headers),
      recordFor(topic, 'c', '3'),
    ];
    const results = await broker().publisher.publish(records);
    expect(results).toEqual([
      acknowledged,
      { acknowledged: false, error: expect.any(Error), permanent: true },
      acknowledged,
    ]);
    const keys = (await broker().read(topic)).map(({ key }) => key);
    expect(keys).toEqual(['a', 'c']);
  });

  it('does not say permanent of a topic that is missing: it may yet be created', async () => {
    const [result] = await broker().publisher.publish([recordFor(broker().missingTopic(), 'k', '1')]);
    expect(result).toEqual({ acknowledged: false, error: expect.any(Error) });
  });
}

const acknowledged = { acknowledged: true };

function recordFor(
  topic: string,
  key: string,
  value: string,
  headers: Record<string, string> = {},
): OutboundRecord {
  return { id: randomUUID(), topic, key, value, headers };
}
