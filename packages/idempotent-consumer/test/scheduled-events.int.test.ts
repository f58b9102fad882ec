import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../src/testing/memory-source.ts';
import { type CountEvent, countUp, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

/** Writes down the order in which events were handled; one of them fails until it is mended. */
function diary(bad: (event: CountEvent) => boolean) {
  const handled: string[] = [];
  let isMended = false;
  return {
    handled,
    mend: () => {
      isMended = true;
    },
    handle: async (tx: Tx, event: CountEvent, { afterCommit }: { afterCommit(done: () => void): void }) => {
      await countUp(tx, event);
      if (bad(event) && !isMended) throw new Error(`no ${event.id}`);
      afterCommit(() => {
        handled.push(event.id);
      });
    },
  };
}

describe('scheduled events', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  it('an event that fails is stored in the accepting transaction; its neighbours are handled, its key waits', async () => {
    const name = uniqueName('key');
    const { handle, handled, mend } = diary(({ id }) => id === `${name}-1`);
    const { source, consumerName, consumer } = await start({ handle, retry: { attemptsMax: 1_000 } });
    const outcome = await source.deliver([
      counting(`${name}-0`, `${name}-other`),
      counting(`${name}-1`, name),
      counting(`${name}-2`, name),
      counting(`${name}-3`, `${name}-other`),
    ]);
    expect(outcome).toEqual(['accepted']);
    expect(source.committed()).toBe('4');
    expect(handled).toEqual([`${name}-0`, `${name}-3`]);
    expect(await db().scheduled(consumerName)).toMatchObject([
      { event_id: `${name}-1`, ordering_key: `key:${name}`, state: 'DUE', reason: `Error: no ${name}-1` },
      { event_id: `${name}-2`, ordering_key: `key:${name}`, state: 'DUE', attempts: 0, reason: null },
    ]);
    await source.deliver([counting(`${name}-4`, name), counting(`${name}-5`, `${name}-other`)]);
    expect(handled).toEqual([`${name}-0`, `${name}-3`, `${name}-5`]);
    mend();
    await expect.poll(() => handled.slice(3), soon).toEqual([`${name}-1`, `${name}-2`, `${name}-4`]);
    expect(await db().counted(name)).toBe(3);
    expect(await db().scheduled(consumerName)).toMatchObject([
      { state: 'DONE' },
      { state: 'DONE' },
      { state: 'DONE' },
    ]);
    expect(consumer.counts()).toMatchObject({ handled: 6, scheduled: 3, deadLetters: 0, duplicates: 0 });
  });

  it('an event whose attempts are spent is a dead letter, and its key waits behind it', async () => {
    const name = uniqueName('dead');
    const { handle, handled } = diary(({ id }) => id === `${name}-1`);
    const { source, consumerName } = await start({ handle, retry: { attemptsMax: 3 } });
    await source.deliver([counting(`${name}-1`, name), counting(`${name}-2`, name)]);
    await expect
      .poll(() => db().deadLetters(consumerName), soon)
      .toMatchObject([{ event_id: `${name}-1`, attempts: 3, state: 'DEAD', reason: `Error: no ${name}-1` }]);
    await source.deliver([counting(`${name}-3`, name)]);
    expect(await db().scheduled(consumerName)).toMatchObject([
      { state: 'DEAD', attempts: 3 },
      { state: 'DUE', attempts: 0 },
      { state: 'DUE', attempts: 0 },
    ]);
    expect(handled).toEqual([]);
  });

  it('with onDeadLetter "continue" the key goes on behind a dead letter', async () => {
    const name = uniqueName('continue');
    const { handle, handled } = diary(({ id }) => id === `${name}-1`);
    const { source } = await start({ handle, retry: { attemptsMax: 1 }, onDeadLetter: 'continue' });
    await source.deliver([counting(`${name}-1`, name), counting(`${name}-2`, name)]);
    await expect.poll(() => handled, soon).toEqual([`${name}-2`]);
    await source.deliver([counting(`${name}-3`, name)]);
    expect(handled).toEqual([`${name}-2`, `${name}-3`]);
  });

  it('after a restart no new record overtakes a stored one of its key (Wolverine#1724)', async () => {
    const name = uniqueName('restart');
    const { handle, handled, mend } = diary(({ id }) => id === `${name}-1`);
    const first = await start({ handle, retry: { attemptsMax: 1_000 } });
    await first.source.deliver([counting(`${name}-1`, name)]);
    await first.consumer.stop();
    const source = memorySource();
    await start({ handle, source, consumerName: first.consumerName, retry: { attemptsMax: 1_000 } });
    await source.deliver([{ ...counting(`${name}-2`, name), offset: '1' }]);
    expect(handled).toEqual([]);
    mend();
    await expect.poll(() => handled, soon).toEqual([`${name}-1`, `${name}-2`]);
  });

  it('a lock that is not to be had for the moment (55P03) delays its own event only', async () => {
    const name = uniqueName('lock');
    let isLocked = true;
    const handle = async (tx: Tx, event: CountEvent) => {
      if (event.id === `${name}-1` && isLocked)
        await sql`DO $$ BEGIN RAISE EXCEPTION 'busy' USING ERRCODE = '55P03'; END $$`.execute(tx);
      await countUp(tx, event);
    };
    const { source, consumer } = await start({ handle });
    await source.deliver([counting(`${name}-1`, name), counting(`${name}-2`, `${name}-other`)]);
    expect(await db().counted(`${name}-other`)).toBe(1);
    isLocked = false;
    await expect.poll(() => db().counted(name), soon).toBe(1);
    expect(consumer.counts()).toMatchObject({ deadLetters: 0 });
  });

  it('errors are routed: dead letter at once, skipped with a reason, or the consumer stands still', async () => {
    const name = uniqueName('routed');
    const { handle, handled } = diary(({ id }) => !id.endsWith('ok'));
    const { source, consumerName, consumer, logger } = await start({
      handle,
      routeError: ({ event }) => {
        if (event.id.endsWith('dead')) return 'dead-letter';
        return event.id.endsWith('skip') ? { skip: 'not for us' } : 'stop';
      },
    });
    const ids = [`${name}-dead`, `${name}-skip`, `${name}-ok`];
    await source.deliver(ids.map((id) => counting(id, id)));
    expect(handled).toEqual([`${name}-ok`]);
    expect(await db().scheduled(consumerName)).toMatchObject([
      { event_id: `${name}-dead`, state: 'DEAD' },
      { event_id: `${name}-skip`, state: 'SKIPPED', reason: `not for us: Error: no ${name}-skip` },
    ]);
    expect(consumer.isHealthy()).toBe(true);
    const delivered = source.deliver([counting(`${name}-stop`, `${name}-stop`)]);
    await expect.poll(() => consumer.isHealthy(), soon).toBe(false);
    await consumer.stop();
    expect(await delivered).toEqual(['abandoned']);
    expect(await db().scheduled(consumerName)).toHaveLength(2);
    expect(logger.entries.filter(({ level }) => level === 'error')).toMatchObject([
      { message: 'consumer stands still until it is started anew' },
    ]);
  });

  it.each([3, 150])(
    'a key that is blocked among %i others is found, and none is taken for blocked',
    async (others) => {
      const name = uniqueName('among');
      const { source, consumerName } = await start({ handle: countUp, pollIntervalMs: 60_000 });
      await db().pool.query(
        `INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", headers, state,
         attempts, next_at)
       SELECT $1, 'e' || i, 'key:' || $2 || i, 't', 0, i, '', 'DEAD', 1, now() FROM generate_series(1, $3::int) i`,
        [consumerName, name, others],
      );
      const events = [counting(`${name}-a`, `${name}${others}`), counting(`${name}-b`, `${name}0`)];
      await source.deliver(events);
      expect(await db().counted(`${name}${others}`)).toBe(0);
      expect(await db().counted(`${name}0`)).toBe(1);
      expect((await db().scheduled(consumerName)).at(-1)).toMatchObject({
        event_id: `${name}-a`,
        state: 'DUE',
        attempts: 0,
      });
    },
  );
});
