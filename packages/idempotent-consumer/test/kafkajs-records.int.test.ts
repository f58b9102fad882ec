import { Producer } from '@platformatic/kafka';
import { describe, expect, it } from 'vitest';
import type { ConsumedRecord } from '../src/record.ts';
import { committedOffset, createTestTopic, produce, soon, testStack, useSources } from './kafkajs-harness.ts';

/** kafkajs cannot write null. */
async function produceHeaders(topic: string, entries: [string, unknown][]): Promise<void> {
  const producer = new Producer({ clientId: 'source-test', bootstrapBrokers: testStack().kafkaBrokers });
  // Names that are objects may repeat.
  const headers = new Map(
    entries.flatMap(([name, values]) =>
      [values]
        .flat()
        .map((value) => [Buffer.from(name), (value === null ? null : Buffer.from(String(value))) as Buffer]),
    ),
  );
  await producer.send({ messages: [{ topic, value: Buffer.from('a'), headers }], acks: -1 });
  await producer.close();
}

/** An own property of any name. */
const named = <T>(...entries: [string, T][]) => Object.fromEntries(entries);
const shown = (value: unknown): unknown =>
  value === null || value === undefined
    ? value
    : Array.isArray(value)
      ? value.map(shown)
      : Buffer.from(value as Uint8Array).toString();
/** What a name may be taken for although no header has it. */
function inheritedBy(object: object): PropertyKey[] {
  const names: PropertyKey[] = [];
  for (let from = Object.getPrototypeOf(object); from !== null; from = Object.getPrototypeOf(from))
    names.push(...Reflect.ownKeys(from));
  return names;
}

const shownHeaders = (record: ConsumedRecord | undefined) =>
  Object.entries(record?.headers ?? {}).map(([name, value]) => [name, shown(value)]);

describe('the records of a kafkajs source', () => {
  const start = useSources();

  it.each([true, false])(
    'carry every header, and no other property (patchHeaderDecoder: %s)',
    async (patchHeaderDecoder) => {
      const topic = await createTestTopic('headers');
      const entries: [string, unknown][] = [
        ['plain', 'a'],
        ['repeated', ['a', 'b', 'a']],
        ['empty', ''],
        ['', 'no name'],
        ['nothing', null],
        ['nothings', [null, 'x', null]],
        ['__proto__', 'p'],
        ['constructor', 'c'],
        ['toString', ['s', null]],
        ['hasOwnProperty', null],
      ];
      await produceHeaders(topic, entries);
      await produce(topic, [{ value: 'b' }]);
      const { records } = start({ topics: [topic], patchHeaderDecoder });
      await expect.poll(() => records.length, soon).toBe(2);
      expect(shownHeaders(records[0]).sort()).toEqual(entries.sort());
      for (const { headers } of records) expect(inheritedBy(headers)).toEqual([]);
    },
  );

  it('may have thousands of headers, without a pause', async () => {
    const topic = await createTestTopic('many-headers');
    const headers = named(...Array.from({ length: 10_000 }, (_, i): [string, string] => [`h${i}`, 'x']));
    await produce(topic, [{ value: 'a', headers }]);
    const startedMs = performance.now();
    const { records, groupId } = start({ topics: [topic] });
    await expect.poll(() => records.length, soon).toBe(1);
    expect(Object.keys(records[0]?.headers ?? {})).toHaveLength(10_000);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    await expect.poll(() => committedOffset(groupId, topic), soon).toBe(1);
  });

  it('may have no key and no value; carry the time that their topic keeps', async () => {
    const topic = await createTestTopic('null');
    await produce(topic, [
      { key: null, value: null, timestamp: '1234567890123' },
      { key: '', value: '', timestamp: '0' },
    ]);
    const { records } = start({ topics: [topic] });
    await expect.poll(() => records.length, soon).toBe(2);
    expect(records.map(({ key, value, timestampMs }) => [shown(key), shown(value), timestampMs])).toEqual([
      [null, null, 1_234_567_890_123],
      ['', '', 0],
    ]);
  });

  it('keep their bytes while kafkajs goes on', async () => {
    const topic = await createTestTopic('bytes');
    const values = Array.from({ length: 50 }, (_, i) => `${i}-`.repeat(1_000));
    await produce(
      topic,
      values.map((value) => ({ value, key: `k${value.length}` })),
    );
    // Each answer of the broker is larger than it should be, so that records are copied out of it.
    const sizes = { chunkBytesMax: 10_000, fetchBytesMax: 10_000, partitionBytesMax: 10_000 };
    const { records } = start({ topics: [topic], ...sizes });
    await expect.poll(() => records.length, soon).toBe(50);
    expect(records.map((record) => shown(record.value))).toEqual(values);
    for (const record of records)
      expect(record.value?.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize);
  });
});
