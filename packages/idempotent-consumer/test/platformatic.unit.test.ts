import { compressionsAlgorithms } from '@platformatic/kafka';
import { describe, expect, it } from 'vitest';
import type { RecordsBatch } from '../src/platformatic/client.ts';
import { isUnreadable, mayHeal, saysMembershipIsOver } from '../src/platformatic/client-errors.ts';
import {
  boundDecompression,
  createDecompressionBudget,
  TooLargeError,
} from '../src/platformatic/decompression.ts';
import { planFetches } from '../src/platformatic/fetch-requests.ts';
import { createHeldRecords } from '../src/platformatic/held-records.ts';
import type { Lane } from '../src/platformatic/lane.ts';
import { recordsOf } from '../src/platformatic/records.ts';

describe('decompression within a budget', () => {
  const algorithms = Object.fromEntries(
    (['gzip', 'snappy', 'lz4', 'zstd'] as const).map((name) => [name, { ...compressionsAlgorithms[name] }]),
  );
  boundDecompression(algorithms);
  boundDecompression(algorithms);
  const plain = Buffer.alloc(1_000_000, 'abc');

  it.each(Object.keys(algorithms))('makes of a batch of %s what it was, or no more than is left', (name) => {
    const { compressSync, decompressSync } = algorithms[name] as (typeof compressionsAlgorithms)['gzip'];
    const compressed = compressSync(plain);
    const decompress = () => decompressSync(compressed);
    const budget = createDecompressionBudget(6_000_000, () => 0);
    expect(budget.connect(decompress).equals(plain)).toBe(true);
    // LZ4 does not say more than the size of its blocks, which is 4 MiB here.
    const enough = name === 'lz4' ? 1 : 5;
    for (let batch = 1; batch <= enough; batch++) budget.connect(decompress);
    expect(() => budget.connect(decompress)).toThrow(TooLargeError);
    budget.renew();
    expect(budget.connect(decompress).byteLength).toBe(1_000_000);
  });

  it('leaves what is decompressed for others as it was', () => {
    const { compressSync, decompressSync } = algorithms.gzip as (typeof compressionsAlgorithms)['gzip'];
    expect(decompressSync(compressSync(plain)).equals(plain)).toBe(true);
  });

  it('has less while other records are held, a quarter at the least, and says so', () => {
    let held = 3_500_000;
    const budget = createDecompressionBudget(4_000_000, () => held);
    const { compressSync, decompressSync } = algorithms.gzip as (typeof compressionsAlgorithms)['gzip'];
    const decompress = () => budget.connect(() => decompressSync(compressSync(plain)));
    expect(decompress().byteLength).toBe(1_000_000);
    expect(decompress).toThrow(expect.objectContaining({ isForNow: true }));
    held = 0;
    budget.renew();
    for (let batch = 1; batch <= 4; batch++) decompress();
    expect(decompress).toThrow(expect.objectContaining({ isForNow: false }));
  });
});

describe('the records of a fetch', () => {
  const transactional = 1 << 4;
  const control = 1 << 5;
  const batch = (firstOffset: number, values: string[], o: Partial<RecordsBatch> = {}): RecordsBatch => ({
    firstOffset: BigInt(firstOffset),
    lastOffsetDelta: values.length - 1,
    attributes: 0,
    firstTimestamp: 1_000n,
    maxTimestamp: 9_000n,
    producerId: 7n,
    records: values.map((value, offsetDelta) => ({
      offsetDelta,
      timestampDelta: BigInt(offsetDelta),
      key: null,
      value: Buffer.from(value),
      headers: [],
    })),
    ...o,
  });
  const marker = (offset: number, type: 'abort' | 'commit') => {
    const key = Buffer.from([0, 0, 0, type === 'abort' ? 0 : 1]);
    const [record] = batch(offset, ['']).records;
    return batch(offset, [''], {
      attributes: transactional | control,
      records: [{ ...(record as RecordsBatch['records'][number]), key }],
    });
  };
  const fetched = (records: RecordsBatch[], aborted: number[] = [], fetchOffset = 0) =>
    recordsOf(
      {
        partitionIndex: 3,
        errorCode: 0,
        abortedTransactions: aborted.map((firstOffset) => ({
          producerId: 7n,
          firstOffset: BigInt(firstOffset),
        })),
        records,
      },
      't',
      BigInt(fetchOffset),
    );
  const valuesOf = ({ records }: ReturnType<typeof fetched>) => records.map(({ value }) => String(value));

  it('are none of an aborted transaction, also where its end is not in the same answer', () => {
    const inTransaction = { attributes: transactional };
    const open = fetched([batch(0, ['a', 'b'], inTransaction), batch(2, ['c'], inTransaction)], [0]);
    expect([valuesOf(open), open.nextOffset]).toEqual([[], 3n]);
    const several = fetched(
      [
        batch(0, ['a'], inTransaction),
        marker(1, 'abort'),
        batch(2, ['1'], inTransaction),
        marker(3, 'commit'),
        batch(4, ['b'], inTransaction),
        batch(5, ['2']),
        batch(6, ['3'], { ...inTransaction, producerId: 8n }),
        marker(7, 'abort'),
      ],
      [4, 0],
    );
    expect([valuesOf(several), several.nextOffset]).toEqual([['1', '2', '3'], 8n]);
  });

  it('begin at the offset that was asked for, with the time that the topic keeps', () => {
    const some = fetched([batch(10, ['a', 'b', 'c']), batch(13, ['d'], { attributes: 1 << 3 })], [], 11);
    expect(some.records.map(({ offset, timestampMs }) => [offset, timestampMs])).toEqual([
      ['11', 1_001],
      ['12', 1_002],
      ['13', 9_000],
    ]);
    const timeless = fetched([batch(0, ['a'], { firstTimestamp: -1n })]);
    expect(timeless.records[0]?.timestampMs).toBeNull();
    const beyond = fetched([batch(0, ['a'], { firstTimestamp: 2n ** 63n - 1n })]);
    expect(beyond.records[0]?.timestampMs).toBeNull();
    expect(fetched([])).toEqual({ records: [], nextOffset: undefined });
  });
});

describe('what is held of a partition', () => {
  const held = () => createHeldRecords(new AbortController().signal);
  const records = (from: number, count: number, size = 10) =>
    Array.from({ length: count }, (_, i) => ({
      ...{ topic: 't', partition: 0, key: null, headers: {}, timestampMs: null },
      ...{ offset: String(from + i), value: Buffer.alloc(size) },
    }));
  const limits = { chunkSizeMax: 5, chunkBytesMax: 1_000 };
  const offsetsOf = (taken: { records: readonly { offset: string }[] } | undefined) =>
    taken?.records.map(({ offset }) => Number(offset));

  it('is taken in chunks across fetches, up to the limits', async () => {
    const all = held();
    for (let from = 0; from < 12; from += 2) all.add(records(from, 2), BigInt(from + 2));
    expect(offsetsOf(await all.take(limits))).toEqual([0, 1, 2, 3, 4]);
    expect(offsetsOf(await all.take({ ...limits, chunkBytesMax: 30 }))).toEqual([5, 6, 7]);
    all.add(records(12, 1, 2_000), 13n);
    all.add(records(13, 1), 14n);
    expect(offsetsOf(await all.take(limits))).toEqual([8, 9, 10, 11]);
    expect(offsetsOf(await all.take(limits))).toEqual([12]);
    expect(offsetsOf(await all.take(limits))).toEqual([13]);
    expect(all.isEmpty()).toBe(true);
  });

  it('ends where its fetch ends, or the one behind it that brought no records', async () => {
    const all = held();
    all.add(records(0, 3), 5n);
    all.add(records(5, 4), 10n);
    const first = await all.take(limits);
    expect([offsetsOf(first), first?.nextOffset()]).toEqual([[0, 1, 2, 5, 6], 7n]);
    const second = await all.take(limits);
    expect([offsetsOf(second), second?.nextOffset()]).toEqual([[7, 8], 10n]);
    all.add([], 12n);
    expect(second?.nextOffset()).toBe(12n);
    all.add(records(12, 2), 15n);
    all.add([], 17n);
    const third = await all.take(limits);
    expect([offsetsOf(third), third?.nextOffset()]).toEqual([[12, 13], 17n]);
    all.clear();
    all.add([], 30n);
    expect(third?.nextOffset()).toBe(17n);
  });

  it('counts until the last record of its fetch is dealt with', async () => {
    const all = held();
    all.add(records(0, 3), 3n);
    all.add(records(3, 7), 10n);
    expect(all.bytes()).toBe(100);
    for (const bytesLeft of [70, 0]) {
      const before = all.bytes();
      await all.take(limits);
      expect(all.bytes()).toBe(before);
      all.release();
      expect(all.bytes()).toBe(bytesLeft);
    }
    all.add(records(10, 3), 13n);
    await all.take(limits);
    all.clear();
    expect([all.bytes(), all.isEmpty()]).toEqual([0, true]);
  });

  it('is waited for, until the lane ends', async () => {
    const ending = new AbortController();
    const all = createHeldRecords(ending.signal);
    const taken = all.take(limits);
    all.add([], 3n);
    all.add(records(3, 1), 4n);
    expect(offsetsOf(await taken)).toEqual([3]);
    const none = all.take(limits);
    ending.abort();
    expect(await none).toBeUndefined();
    all.add(records(4, 1), 5n);
    expect(await all.take(limits)).toBeUndefined();
  });
});

describe('a request for records', () => {
  const metadata = {
    brokers: new Map(),
    topics: new Map([['t', { id: 'id', partitions: [0, 1, 2].map(() => ({ leader: 1 })) }]]),
  } as unknown as Parameters<typeof planFetches>[1];
  const lanes = (change: (lane: Lane) => Partial<Lane>) =>
    [0, 1, 2].map((partition) => {
      const lane = { topic: 't', partition, isFetchedAlone: false, wanted: () => 7n, pauseMs: () => 0 };
      return { ...lane, ...change(lane as Lane) } as Lane;
    });
  const planOf = (of: Lane[], turn = 0) => {
    const request = planFetches(of, metadata, new Set(), turn).requests.get(1);
    return {
      partitions: [...(request?.requested.values() ?? [])].map(({ lane }) => lane.partition),
      waitMs: request?.waitMs,
    };
  };

  it('waits for less while a partition may soon want more, and not at all for one that is fetched alone', () => {
    expect(planOf(lanes(() => ({})))).toEqual({ partitions: [0, 1, 2], waitMs: 250 });
    expect(planOf(lanes(({ partition }) => (partition === 1 ? { wanted: () => undefined } : {})))).toEqual({
      partitions: [0, 2],
      waitMs: 50,
    });
    const alone = lanes(({ partition }) => ({ isFetchedAlone: partition > 0 }));
    expect(planOf(alone, 0)).toEqual({ partitions: [1], waitMs: 0 });
    expect(planOf(alone, 1)).toEqual({ partitions: [2], waitMs: 0 });
  });
});

it('knows what the errors of the client stand for', () => {
  const error = (o: object) => Object.assign(new Error(''), o);
  const nested = error({
    code: 'PLT_KFK_RESPONSE',
    errors: [error({ code: 'PLT_KFK_PROTOCOL', apiId: 'ILLEGAL_GENERATION', canRetry: false })],
  });
  expect([saysMembershipIsOver(nested), mayHeal(nested), isUnreadable(nested)]).toEqual([true, false, false]);
  const stale = error({ apiId: 'STALE_MEMBER_EPOCH', canRetry: false });
  expect([saysMembershipIsOver(stale), mayHeal(stale)]).toEqual([false, true]);
  const network = error({ code: 'PLT_KFK_NETWORK', canRetry: true });
  expect([mayHeal(network), isUnreadable(network)]).toEqual([true, false]);
  const closed = error({ code: 'PLT_KFK_NETWORK', canRetry: false, closed: true });
  expect([mayHeal(closed), isUnreadable(closed)]).toEqual([false, false]);
  expect(isUnreadable(error({ code: 'ECONNRESET', syscall: 'read' }))).toBe(false);
  expect(isUnreadable(error({ code: 'PLT_KFK_UNSUPPORTED_COMPRESSION', canRetry: false }))).toBe(true);
  expect([mayHeal(new RangeError('')), isUnreadable(new RangeError(''))]).toEqual([false, true]);
});
