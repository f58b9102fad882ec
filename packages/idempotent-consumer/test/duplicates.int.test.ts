import { describe, expect, it } from 'vitest';
import { memorySource } from '../src/testing/memory-source.ts';
import { countUp, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

describe('duplicates', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  it('what comes again to the same process is dropped without a transaction, and its offsets are committed', async () => {
    const name = uniqueName('again');
    let transactions = 0;
    const transaction = <R>(work: (tx: Tx) => Promise<R>) => {
      transactions++;
      return db().transaction(work);
    };
    const { source, consumer } = await start({ handle: countUp, transaction, pollIntervalMs: 60_000 });
    const records = Array.from({ length: 20 }, (_, i) => counting(`${name}-${i}`, name));
    await source.deliver(records);
    const before = transactions;
    expect(await source.deliver(records)).toEqual(['accepted']);
    expect(transactions).toBe(before);
    expect(source.committed()).toBe('40');
    expect(consumer.counts()).toMatchObject({ handled: 20, duplicates: 20 });
    // One that is new is handled among those that are not.
    await source.deliver([...records, counting(`${name}-new`, name)]);
    expect(consumer.counts()).toMatchObject({ handled: 21, duplicates: 40 });
    expect(await db().counted(name)).toBe(21);
  });

  it('a chunk that was abandoned after its rollback is handled when it comes again', async () => {
    const name = uniqueName('abandoned');
    let isAway = true;
    const transaction = <R>(work: (tx: Tx) => Promise<R>) =>
      db().transaction(async (tx) => {
        const result = await work(tx);
        if (isAway && handled > 0) throw Object.assign(new Error('lost'), { code: '08006' });
        return result;
      });
    let handled = 0;
    const handle = async (tx: Tx, event: { id: string; name: string }) => {
      handled++;
      await countUp(tx, event);
    };
    const source = memorySource();
    const { consumer } = await start({ handle, transaction, source });
    const delivered = source.deliver([{ ...counting(`${name}-1`, name), offset: '0' }]);
    await expect.poll(() => handled, soon).toBeGreaterThan(1);
    source.revoke();
    expect(await delivered).toEqual(['abandoned']);
    isAway = false;
    expect(await db().counted(name)).toBe(0);
    await source.deliver([{ ...counting(`${name}-1`, name), offset: '0' }]);
    expect(await db().counted(name)).toBe(1);
    expect(consumer.counts()).toMatchObject({ handled: 1, duplicates: 0 });
  });

  it('another process asks the inbox', async () => {
    const name = uniqueName('other');
    const first = await start({ handle: countUp });
    await first.source.deliver([counting(`${name}-1`, name)]);
    const second = await start({ handle: countUp, consumerName: first.consumerName });
    await second.source.deliver([counting(`${name}-1`, name)]);
    expect(await db().counted(name)).toBe(1);
    expect(second.consumer.counts()).toMatchObject({ handled: 0, duplicates: 1 });
  });
});
