import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConsumedRecord } from '../src/index.ts';
import { unpackHeaders } from '../src/retries/stored-record.ts';
import type { MemoryRecord } from '../src/testing/memory-source.ts';
import { memorySource } from '../src/testing/memory-source.ts';
import { anyRecord, gathered, plain } from './any-record.ts';
import { countUp, soon, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

/** A record that is larger in every direction than those that are drawn. */
const large: ConsumedRecord = {
  topic: 'any.records',
  partition: 0,
  offset: '0',
  key: Buffer.alloc(100_000, 0xff),
  value: Buffer.from(Array.from({ length: 262_144 }, (_, i) => i % 256)),
  headers: gathered([
    ...Array.from({ length: 20_000 }, (_, i): [string, Buffer | null] => [
      `h${i}`,
      i % 3 ? Buffer.from([i % 256]) : null,
    ]),
    ...Array.from({ length: 1_000 }, (): [string, null] => ['__proto__', null]),
  ]),
  timestampMs: 0,
};

describe('every record that Kafka can carry', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);
  const chunk = fc.array(anyRecord, { minLength: 1, maxLength: 40 });

  it('is a dead letter, byte for byte, when it cannot be decoded', async () => {
    const source = memorySource({ groupId: uniqueName('group'), topics: ['any.records'] });
    const { consumer, consumerName } = await start({
      source,
      decode: () => ({ kind: 'invalid', reason: 'whatever it is' }),
      handle: () => undefined,
      killSwitch: { failuresMin: 1_000_000 },
    });
    let offset = 0;
    const holds = async (drawn: readonly ConsumedRecord[]) => {
      const records = drawn.map((record) => ({ ...record, offset: String(offset++) }));
      expect(await source.deliver(records as MemoryRecord[])).toEqual(['accepted']);
      const first = records[0]?.offset;
      const { rows } = await db().pool.query(
        `SELECT * FROM dead_letter_events WHERE worker_id = $1 AND "offset" >= $2 ORDER BY "offset"`,
        [consumerName, first],
      );
      expect(rows.map(storedOf)).toEqual(records.map(plain));
    };
    await holds([large]);
    await fc.assert(fc.asyncProperty(chunk, holds), { numRuns: 25, endOnFailure: true });
    expect(consumer.counts()).toMatchObject({ deadLetters: offset, retries: 0 });
  });

  it('with a header whose value is null, and no readable id, is a dead letter, and its neighbour is handled', async () => {
    const { source, consumer, consumerName } = await start({ handle: countUp });
    const name = uniqueName('null-header');
    const headers = { type: Buffer.from('count'), id: null, trace: [Buffer.from('a'), null] };
    void source.deliver([{ headers }, counting(name, name)]);
    await expect
      .poll(() => db().deadLetters(consumerName), { ...soon, timeout: 5_000 })
      .toMatchObject([
        { reason: 'header id is missing', headers: { type: 'count', id: null, trace: ['a', null] } },
      ]);
    await expect
      .poll(() => consumer.counts(), soon)
      .toMatchObject({ handled: 1, deadLetters: 1, retries: 0 });
  });

  it('comes to its handler again, byte for byte, when it is stored and tried again', async () => {
    const source = memorySource({ groupId: uniqueName('group'), topics: ['any.records'] });
    const again = new Map<string, ConsumedRecord>();
    const { consumer } = await start({
      source,
      decode: ({ offset }) => ({ kind: 'event', id: `any-${offset}`, event: { id: offset, name: offset } }),
      handle: (_, { id }, { attempt, record }) => {
        if (attempt === 1) throw new Error('not yet');
        again.set(id, record);
      },
      retry: { baseMs: 1, maxMs: 2 },
      retriesInParallelMax: 4,
      pollIntervalMs: 5,
      killSwitch: { failuresMin: 1_000_000 },
    });
    let offset = 0;
    const holds = async (drawn: readonly ConsumedRecord[]) => {
      const records = drawn.map((record) => ({ ...record, offset: String(offset++) }));
      expect(await source.deliver(records as MemoryRecord[])).toEqual(['accepted']);
      await expect.poll(() => consumer.counts().handled, soon).toBe(offset);
      expect(again.size).toBe(offset);
      for (const record of records)
        expect(plain(again.get(record.offset) as ConsumedRecord)).toEqual(plain(record));
    };
    await holds([large]);
    await fc.assert(fc.asyncProperty(chunk, holds), { numRuns: 10, endOnFailure: true });
    expect(consumer.counts()).toMatchObject({ handled: offset, deadLetters: 0, retries: 0 });
  });
});

// biome-ignore lint/suspicious/noExplicitAny: a row as pg gives it
const storedOf = ({ key, value, headers_exact, recorded_at_ms }: any) =>
  plain({
    key,
    value,
    headers: unpackHeaders(headers_exact),
    timestampMs: recorded_at_ms === null ? null : Number(recorded_at_ms),
  });
