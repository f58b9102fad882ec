import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { isTransient } from '../src/index.ts';
import { type CountEvent, countUp, decodeCount, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';
import { thrownValues } from './thrown-values.ts';

/** As pino's serializer: it reads what an error has, marks it as seen, and throws where that cannot be. */
function serializing(entries: string[]) {
  const at = (fields: object, message: string) => {
    const { err, ...others } = fields as { err?: Error };
    if (err !== undefined) Object.assign(err, { seen: [err.message, err.stack, err.cause] });
    entries.push(JSON.stringify({ ...others, message, err: err?.message }));
  };
  return { debug: at, info: at, warn: at, error: at };
}

describe('whatever is thrown is an error of its event', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  it.each(thrownValues)('isTransient answers for $what', ({ value }) => {
    expect(isTransient(value)).toBe(false);
    expect(isTransient(new Error('wrapped', { cause: value }))).toBe(false);
    expect(isTransient(new AggregateError([value, { code: '40001' }]))).toBe(true);
  });

  it.each(thrownValues)(
    'by a handler, $what: neighbours are handled, it is tried again and a dead letter with a readable reason',
    async ({ value, reason }) => {
      const name = uniqueName('thrown');
      const entries: string[] = [];
      const { source, consumer, consumerName } = await start({
        handle: async (tx: Tx, event: CountEvent) => {
          await countUp(tx, event);
          if (event.id === `${name}-bad`) throw value;
        },
        retry: { attemptsMax: 2 },
        deps: { logger: serializing(entries) },
      });
      const records = [
        counting(`${name}-1`, name),
        counting(`${name}-bad`, `${name}-bad`),
        counting(`${name}-2`, name),
      ];
      expect(await source.deliver(records)).toEqual(['accepted']);
      expect(await db().counted(name)).toBe(2);
      await expect
        .poll(() => db().deadLetters(consumerName), soon)
        .toMatchObject([{ event_id: `${name}-bad`, attempts: 2, reason: expect.stringMatching(reason) }]);
      expect(await db().counted(`${name}-bad`)).toBe(0);
      expect(consumer.counts()).toMatchObject({ handled: 2, scheduled: 1, retries: 0 });
      expect(entries.filter((entry) => entry.includes('event failed and will be tried again'))).toHaveLength(
        1,
      );
    },
  );

  it('by decode, at once or later: each is a dead letter, and the events between them are handled', async () => {
    const name = uniqueName('decode');
    let isNext = -1;
    const { source, consumer, consumerName } = await start({
      decode: async (record) => {
        if (record.value !== null) return decodeCount(record);
        isNext++;
        throw thrownValues[isNext]?.value;
      },
      handle: countUp,
      killSwitch: { failuresMin: 1_000 },
    });
    const records = thrownValues.flatMap((_, i) => [
      { value: null, key: 'poison' },
      counting(`${name}-${i}`, name),
    ]);
    expect(await source.deliver(records)).toEqual(['accepted']);
    expect(await db().counted(name)).toBe(thrownValues.length);
    const letters = await db().deadLetters(consumerName);
    expect(letters).toHaveLength(thrownValues.length);
    for (const [i, { reason }] of thrownValues.entries())
      expect(letters[i]).toMatchObject({ offset: String(2 * i), reason: expect.stringMatching(reason) });
    expect(consumer.counts()).toMatchObject({ handled: thrownValues.length, retries: 0 });
  });

  it('by the dead letter sink: nothing is stored until it is, and nothing ends', async () => {
    const left = [...thrownValues];
    const { source, consumer, consumerName } = await start({
      handle: countUp,
      deps: {
        deadLetterSink: {
          add: async () => {
            const next = left.shift();
            if (next !== undefined) throw next.value;
          },
        },
      },
      acceptRetryBaseMs: 1,
      acceptRetryMaxMs: 2,
    });
    expect(await source.deliver([{ value: 'poison' }])).toEqual(['accepted']);
    expect(await db().deadLetters(consumerName)).toHaveLength(1);
    expect(consumer.counts()).toMatchObject({ deadLetters: 1, retries: thrownValues.length });
  });

  it('a sink that ignores the error of its own statement rolls nothing back in silence: the chunk is tried again', async () => {
    const name = uniqueName('swallowed');
    let tries = 0;
    const { source, consumer, consumerName } = await start({
      handle: countUp,
      deps: {
        deadLetterSink: {
          add: async (tx: Tx) => {
            if (++tries === 1) await sql`SELECT 1 / 0`.execute(tx).catch(() => undefined);
          },
        },
      },
    });
    const records = [counting(`${name}-1`, name), { value: 'poison' }];
    expect(await source.deliver(records)).toEqual(['accepted']);
    expect(tries).toBe(2);
    expect(await db().counted(name)).toBe(1);
    expect(await db().inboxRows(consumerName)).toHaveLength(1);
    expect(await db().deadLetters(consumerName)).toHaveLength(1);
    expect(consumer.counts()).toMatchObject({ handled: 1, deadLetters: 1, retries: 1 });
  });

  it('by the dead letter sink of an event that is tried again: nothing is stored until it is, and nothing ends', async () => {
    const name = uniqueName('sink');
    const left = [...thrownValues];
    const { source, consumerName } = await start({
      handle: () => {
        throw new Error('never');
      },
      retry: { attemptsMax: 2, baseMs: 1, maxMs: 2 },
      deps: {
        deadLetterSink: {
          add: async () => {
            const next = left.shift();
            if (next !== undefined) throw next.value;
          },
        },
      },
    });
    await source.deliver([counting(`${name}-1`, name)]);
    await expect.poll(() => db().deadLetters(consumerName), soon).toHaveLength(1);
    expect(await db().scheduled(consumerName)).toMatchObject([{ state: 'DEAD', attempts: 2 }]);
  });

  it.each([
    ...thrownValues.map(({ what, value }) => ({
      what: `throws ${what}`,
      routeError: () => {
        throw value;
      },
    })),
    { what: 'answers by a promise', routeError: async () => 'dead-letter' },
    { what: 'answers by a promise that is rejected', routeError: () => Promise.reject(new Error('late')) },
    { what: 'answers an object without "skip"', routeError: () => ({}) },
    { what: 'answers a misspelt text', routeError: () => 'dead-leter' },
    { what: 'answers null', routeError: () => null },
    { what: 'answers "skip" that is no text', routeError: () => ({ skip: Symbol('s') }) },
  ])('routeError $what: the event is tried again, and its reason says both', async ({ routeError }) => {
    const name = uniqueName('route');
    const { source, logger, consumerName } = await start({
      handle: async (tx, event) => {
        await countUp(tx, event);
        if (event.id === `${name}-bad`) throw new Error('its own fault');
      },
      routeError: routeError as never,
      retry: { attemptsMax: 2 },
    });
    await source.deliver([counting(`${name}-bad`, `${name}-bad`), counting(`${name}-ok`, name)]);
    expect(await db().counted(name)).toBe(1);
    await expect
      .poll(() => db().deadLetters(consumerName), soon)
      .toMatchObject([
        { event_id: `${name}-bad`, reason: expect.stringMatching(/its own fault; routeError failed: ./) },
      ]);
    const told = logger.entries.filter(({ message }) => message.startsWith('routeError failed'));
    expect(told).toHaveLength(2);
  });
});
