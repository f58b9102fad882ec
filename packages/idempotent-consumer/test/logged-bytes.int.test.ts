import { inspect } from 'node:util';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import type { Decoded } from '../src/index.ts';
import { type CountEvent, countUp, soon, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const secret = '4111111111111111';

describe('logs and counts', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  /** Decoders whose errors quote what they read. */
  const quoting: Record<
    string,
    (record: { value: Uint8Array | null; headers: object }) => Decoded<CountEvent>
  > = {
    'JSON.parse': ({ value }) => JSON.parse(Buffer.from(value ?? []).toString()),
    'a message of its own': ({ value }) => {
      throw new Error(`cannot read ${Buffer.from(value ?? []).toString()}`);
    },
    'a header': ({ headers }) => {
      throw new RangeError(`version ${(headers as { version: unknown }).version} is not known`);
    },
    'a name': ({ value }) => {
      throw Object.assign(new Error('no'), { name: Buffer.from(value ?? []).toString() });
    },
    'the record itself': (record) => {
      throw record;
    },
    'a cause': ({ value }) => {
      throw new Error('no', { cause: Buffer.from(value ?? []).toString() });
    },
  };

  it.each(Object.keys(quoting))('carry no bytes of a record where decode quotes them: %s', async (how) => {
    const { source, logger, consumerName } = await start({
      handle: countUp,
      decode: (record) => quoting[how]?.(record) as Decoded<CountEvent>,
    });
    await source.deliver([{ value: `x${secret}`, headers: { version: Buffer.from(secret) }, key: secret }]);
    expect(await db().deadLetters(consumerName)).toMatchObject([{ offset: '0' }]);
    expect(logger.entries.map(({ message }) => message)).toContain('dead letter');
    expect(inspect(logger.entries, { depth: 20 })).not.toContain(secret);
  });

  it('carry no bytes of a stored record that cannot be decoded any more', async () => {
    const name = uniqueName('undecodable');
    let isBroken = false;
    const { source, logger, consumerName } = await start({
      decode: ({ value }) => {
        if (isBroken) throw new SyntaxError(`no JSON: ${Buffer.from(value ?? []).toString()}`);
        return { kind: 'event', id: `${name}-1`, event: { id: `${name}-1`, name } };
      },
      handle: () => {
        isBroken = true;
        throw new Error('not yet');
      },
    });
    await source.deliver([{ value: secret }]);
    await expect
      .poll(() => db().deadLetters(consumerName), soon)
      .toMatchObject([{ reason: `decode failed: SyntaxError: no JSON: ${secret}` }]);
    await expect.poll(() => logger.entries.map(({ message }) => message), soon).toContain('dead letter');
    expect(inspect(logger.entries, { depth: 20 })).not.toContain(secret);
    expect(logger.entries.find(({ message }) => message === 'dead letter')?.fields).toMatchObject({
      reason: 'decode failed (SyntaxError)',
    });
  });

  it('parts of a chunk that were committed are counted when a later part cannot be, and never twice', async () => {
    const name = uniqueName('parts');
    const consumerName = uniqueName('consumer');
    let isDown = true;
    let committed = 0;
    const { source, consumer } = await start({
      consumerName,
      // A constraint that speaks at COMMIT has every event done in a transaction of its own.
      handle: async (tx, event, { afterCommit }) => {
        await countUp(tx, event);
        if (event.id === `${name}-bad`) await sql`INSERT INTO children VALUES ('nobody')`.execute(tx);
        afterCommit(() => {
          committed++;
        });
      },
      transaction: (work, options) =>
        db().transaction(async (tx) => {
          const result = await work(tx as never);
          // As a server that goes away before the third event's own transaction has committed.
          if (isDown && committed === 2) throw Object.assign(new Error('gone'), { code: '57P01' });
          options.signal.throwIfAborted();
          return result;
        }),
      retry: { attemptsMax: 1 },
    });
    const ids = [`${name}-1`, `${name}-2`, `${name}-3`, `${name}-bad`];
    const delivered = source.deliver(ids.map((id) => counting(id, id)));
    await expect.poll(() => consumer.counts().retries, soon).toBeGreaterThan(0);
    expect(consumer.counts()).toMatchObject({ handled: 2, duplicates: 0 });
    isDown = false;
    expect(await delivered).toEqual(['accepted']);
    expect(consumer.counts()).toMatchObject({ handled: 3, scheduled: 1, deadLetters: 1 });
    for (const id of ids.slice(0, 3)) expect(await db().counted(id)).toBe(1);
  });
});
