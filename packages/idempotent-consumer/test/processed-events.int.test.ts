import { Kysely } from 'kysely';
import { describe, expect, it } from 'vitest';
import { insertProcessed, processOnce } from '../src/index.ts';
import { countUp, useDatabase } from './harness.ts';

describe('Test 2: Idempotency', () => {
  const db = useDatabase();
  const once = (eventId: string, name: string) =>
    db().transaction((tx) =>
      processOnce(tx, { consumerName: 'w', eventId }, () => countUp(tx, { id: eventId, name })),
    );

  it('processOnce runs the handler for the first of several deliveries and tells the others apart', async () => {
    const outcomes = [
      await once('again', 'again'),
      await once('again', 'again'),
      await once('again', 'again'),
    ];
    expect(outcomes.map((one) => one.outcome)).toEqual(['processed', 'duplicate', 'duplicate']);
    expect(await db().counted('again')).toBe(1);
  });

  it('processOnce hands on the result, and another worker has an inbox of its own', async () => {
    const run = (consumerName: string) =>
      db().transaction((tx) =>
        processOnce(tx, { consumerName, eventId: 'shared' }, async () => consumerName),
      );
    expect(await run('a')).toEqual({ outcome: 'processed', result: 'a' });
    expect(await run('b')).toEqual({ outcome: 'processed', result: 'b' });
  });

  it('ten concurrent deliveries of one event have one effect', async () => {
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => once('concurrent', 'concurrent')));
    expect(outcomes.filter((one) => one.outcome === 'processed')).toHaveLength(1);
    expect(await db().counted('concurrent')).toBe(1);
  });

  it('an event whose handler fails is not remembered, and its next delivery is processed', async () => {
    const failing = db().transaction((tx) =>
      processOnce(tx, { consumerName: 'w', eventId: 'failing' }, async () => {
        await countUp(tx, { id: 'failing', name: 'failing' });
        throw new Error('no');
      }),
    );
    await expect(failing).rejects.toThrow('no');
    expect(await once('failing', 'failing')).toMatchObject({ outcome: 'processed' });
    expect(await db().counted('failing')).toBe(1);
  });

  it('insertProcessed returns the new ids once each and in the order given', async () => {
    const insert = (ids: string[]) => db().transaction((tx) => insertProcessed(tx, 'set', ids));
    expect(await insert(['b', 'a'])).toEqual(['b', 'a']);
    expect(await insert(['d', 'a', 'c', 'd', 'b', 'c'])).toEqual(['d', 'c']);
    expect(await insert([])).toEqual([]);
  });

  it('two transactions with the same ids in opposite orders do not deadlock', async () => {
    const ids = Array.from({ length: 200 }, (_, i) => `cross-${i}`);
    const insert = (order: string[]) => db().transaction((tx) => insertProcessed(tx, 'cross', order));
    const results = await Promise.all([
      insert(ids),
      insert(ids.toReversed()),
      insert(ids),
      insert(ids.toReversed()),
    ]);
    expect(results.map((result) => result.length).sort()).toEqual([0, 0, 0, 200]);
  });

  it('an id that could not be told from another is refused', async () => {
    const insert = (id: string) => db().transaction((tx) => insertProcessed(tx, 'bad', [id]));
    for (const id of ['', '\ud800', 'a\u0000b', 'x'.repeat(257)]) {
      await expect(insert(id)).rejects.toMatchObject({ code: 'CONSUMER_EVENT_ID_INVALID' });
    }
  });

  it('a connection outside a transaction does not compile, and is refused at run time', async () => {
    const pool = { isTransaction: false } as unknown as Kysely<unknown>;
    expect(pool).not.toBeInstanceOf(Kysely);
    // @ts-expect-error a Kysely instance is not a transaction
    const attempt = processOnce(pool, { consumerName: 'w', eventId: 'e' }, async () => undefined);
    await expect(attempt).rejects.toMatchObject({ code: 'CONSUMER_NOT_IN_TRANSACTION' });
  });

  it('a plain pg client is a transaction between BEGIN and COMMIT only; outside nothing is written', async () => {
    const client = await db().pool.connect();
    const process = () => processOnce(client, { consumerName: 'pg', eventId: 'plain' }, async () => 'done');
    await expect(process()).rejects.toMatchObject({ code: 'CONSUMER_NOT_IN_TRANSACTION' });
    await expect(process()).rejects.toMatchObject({ code: 'CONSUMER_NOT_IN_TRANSACTION' });
    await client.query('BEGIN');
    expect(await process()).toEqual({ outcome: 'processed', result: 'done' });
    expect(await process()).toEqual({ outcome: 'duplicate' });
    await client.query('COMMIT');
    await client.query('BEGIN');
    expect(await process()).toEqual({ outcome: 'duplicate' });
    await client.query('COMMIT');
    client.release();
    // @ts-expect-error a pool is not a transaction
    const attempt = processOnce(db().pool, { consumerName: 'pg', eventId: 'pool' }, async () => undefined);
    await expect(attempt).rejects.toMatchObject({ code: 'CONSUMER_NOT_IN_TRANSACTION' });
  });
});
