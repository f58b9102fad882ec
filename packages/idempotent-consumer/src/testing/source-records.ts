import { type ContractTests, numbered, soon, uniqueGroup, upTo, withMembers } from './source-member.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const textOf = (value: unknown): unknown =>
  value instanceof Uint8Array ? Buffer.from(value).toString() : value;

export const recordTests: ContractTests = {
  'delivers any record that Kafka can carry: nothing where a key, a value or a header has nothing': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(1);
    const binary = Uint8Array.of(0, 255, 128, 10);
    const many = Array.from({ length: 3_000 }, (_, i) => [`name-${i}`, bytes(String(i))] as const);
    await broker.produce(topic, [
      { partition: 0, key: null, value: null },
      { partition: 0, key: bytes(''), value: bytes('') },
      { partition: 0, key: binary, value: binary },
      { partition: 0, value: bytes('1'), headers: [['nothing', null]] },
      { partition: 0, value: bytes('2'), headers: [['', bytes('no name')]] },
      {
        partition: 0,
        value: bytes('3'),
        headers: [
          ['twice', bytes('a')],
          ['__proto__', bytes('b')],
          ['twice', null],
          ['constructor', bytes('c')],
        ],
      },
      { partition: 0, value: bytes('4'), headers: many },
    ]);
    await broker.produce(topic, [{ partition: 0, timestampMs: 1_700_000_000_123 }]);
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId: uniqueGroup(), topics: [topic] });
      await vi.waitFor(() => expect(member.seen).toHaveLength(8), soon);
      const [empty, blank, raw, nullHeader, noName, repeated, headerful, old] = member.seen;
      expect([empty?.key, empty?.value, Object.keys(empty?.headers ?? {})]).toEqual([null, null, []]);
      expect([blank?.key?.byteLength, blank?.value?.byteLength]).toEqual([0, 0]);
      expect([...(raw?.key ?? [])]).toEqual([...binary]);
      expect([...(raw?.value ?? [])]).toEqual([...binary]);
      expect(old?.timestampMs).toBe(1_700_000_000_123);
      expect(Object.entries(nullHeader?.headers ?? {})).toEqual([['nothing', null]]);
      expect(textOf(noName?.headers[''])).toBe('no name');
      const entries = Object.entries(repeated?.headers ?? {});
      const texts = entries.map(([name, value]) => [
        name,
        Array.isArray(value) ? value.map(textOf) : textOf(value),
      ]);
      expect(Object.fromEntries(texts)).toEqual(
        Object.fromEntries([
          ['twice', ['a', null]],
          ['__proto__', 'b'],
          ['constructor', 'c'],
        ]),
      );
      expect(Object.keys(headerful?.headers ?? {})).toHaveLength(3_000);
      expect(textOf(headerful?.headers['name-2999'])).toBe('2999');
    });
  },

  'reads what the broker has compressed with gzip, snappy, lz4 and zstd': async ({ expect, vi }, broker) => {
    const all = (['gzip', 'snappy', 'lz4', 'zstd'] as const).map(async (compression) => {
      const topic = await broker.createTopic(1, compression);
      await broker.produce(topic, [
        ...numbered(0, 20),
        { partition: 0, value: Buffer.alloc(200_000, compression) },
      ]);
      return topic;
    });
    const topics = await Promise.all(all);
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId: uniqueGroup(), topics });
      await vi.waitFor(() => expect(member.seen).toHaveLength(4 * 21), soon);
      for (const topic of topics) {
        const values = member.seen.filter((one) => one.topic === topic).map(({ value }) => textOf(value));
        expect(values.slice(0, 20)).toEqual(upTo(20).map(String));
        expect(values[20]).toHaveLength(200_000);
      }
      expect(member.counts).toEqual([]);
    });
  },

  'delivers the records of committed transactions only, and leaves no lag behind them': async (
    { expect, vi },
    broker,
  ) => {
    const topic = await broker.createTopic(1);
    const groupId = uniqueGroup();
    const values = (...texts: string[]) => texts.map((text) => ({ partition: 0, value: bytes(text) }));
    await broker.produceInTransaction(topic, values('a', 'b'), 'abort');
    await broker.produceInTransaction(topic, values('1', '2'), 'commit');
    await broker.produceInTransaction(topic, values('c'), 'abort');
    await broker.produceInTransaction(topic, values('3'), 'commit');
    await withMembers(broker, async (startMember) => {
      const member = startMember({ groupId, topics: [topic] });
      await vi.waitFor(() => expect(member.seen).toHaveLength(3), soon);
      expect(member.seen.map(({ value }) => textOf(value))).toEqual(['1', '2', '3']);
      await vi.waitFor(async () => {
        const [position] = await member.source.positions();
        expect(position?.committed).toBe(position?.end);
      }, soon);
    });
    // Six records, and the mark that ends each of four transactions.
    expect(await broker.committedOffset(groupId, topic, 0)).toBe('10');
  },
};
