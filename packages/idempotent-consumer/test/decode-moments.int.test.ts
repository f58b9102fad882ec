import { describe, expect, it } from 'vitest';
import { countUp, decodeCount, soon, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const unreachable = () =>
  new TypeError('fetch failed', { cause: Object.assign(new Error('registry'), { code: 'ECONNREFUSED' }) });

describe('a decoder that needs something that is not there for the moment', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  it('makes no dead letters: its chunk waits, others go on, and offsets stand', async () => {
    const name = uniqueName('registry');
    let isThere = false;
    const { source, consumer, consumerName } = await start({
      handle: countUp,
      decode: async (record) => {
        if (record.partition === 0 && !isThere) throw unreachable();
        return decodeCount(record);
      },
    });
    const waiting = source.deliver([counting(`${name}-1`, name)]);
    await source.deliver([{ ...counting(`${name}-other`, `${name}-other`), partition: 1 }]);
    expect(await db().counted(`${name}-other`)).toBe(1);
    await expect.poll(() => consumer.counts().retries, soon).toBeGreaterThan(2);
    expect(source.committed()).toBeNull();
    isThere = true;
    expect(await waiting).toEqual(['accepted']);
    expect(await db().counted(name)).toBe(1);
    expect(await db().deadLetters(consumerName)).toEqual([]);
  });

  it('spends no attempt of a stored event', async () => {
    const name = uniqueName('stored');
    let isThere = true;
    let asked = 0;
    const { source, consumer, consumerName } = await start({
      decode: async (record) => {
        asked++;
        if (!isThere) throw unreachable();
        return decodeCount(record);
      },
      handle: async (tx, event, { attempt }) => {
        if (attempt === 1) {
          isThere = false;
          throw new Error('not yet');
        }
        await countUp(tx, event);
      },
      retry: { attemptsMax: 2, baseMs: 1, maxMs: 2 },
    });
    await source.deliver([counting(`${name}-1`, name)]);
    await expect.poll(() => asked, soon).toBeGreaterThan(3);
    expect(await db().scheduled(consumerName)).toMatchObject([{ state: 'DUE', attempts: 1 }]);
    isThere = true;
    await expect.poll(() => db().counted(name), soon).toBe(1);
    expect(consumer.counts()).toMatchObject({ deadLetters: 0 });
  });

  it('a stored event that decode skips by now is skipped, with that reason, and not taken for handled', async () => {
    const name = uniqueName('skips');
    let isSkipping = false;
    const { source, consumer, consumerName } = await start({
      decode: (record) => (isSkipping ? { kind: 'skip' } : decodeCount(record)),
      handle: () => {
        isSkipping = true;
        throw new Error('not yet');
      },
      retry: { attemptsMax: 5, baseMs: 1, maxMs: 2 },
    });
    await source.deliver([counting(`${name}-1`, name)]);
    await expect
      .poll(() => db().scheduled(consumerName), soon)
      .toMatchObject([{ state: 'SKIPPED', reason: 'decode skips its record now', attempts: 1 }]);
    expect(consumer.counts()).toMatchObject({ handled: 0, deadLetters: 0 });
  });

  it('an asynchronous decoder is waited for, record by record, in their order', async () => {
    const name = uniqueName('async');
    const handled: string[] = [];
    const { source, consumer } = await start({
      decode: async (record) => {
        const decoded = decodeCount(record);
        await new Promise((resolve) => setImmediate(resolve));
        return decoded;
      },
      handle: (_, { id }) => {
        handled.push(id);
      },
    });
    const ids = Array.from({ length: 30 }, (_, i) => `${name}-${i}`);
    await source.deliver(ids.map((id) => counting(id, name)));
    expect(handled).toEqual(ids);
    expect(consumer.counts()).toMatchObject({ handled: 30, skipped: 0 });
  });
});
