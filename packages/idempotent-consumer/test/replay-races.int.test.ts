import { describe, expect, it } from 'vitest';
import { discardDeadLetter, replayDeadLetter } from '../src/index.ts';
import { type CountEvent, countUp, soon, type Tx, uniqueName, useDatabase } from './harness.ts';
import { storeLetters } from './letters.ts';
import { counting, useMemoryConsumers } from './memory-consumer.ts';

const by = (actor: string) => ({ actor, reason: 'race' });
type Decide = typeof replayDeadLetter;

describe('decisions about one dead letter at the same time', () => {
  const db = useDatabase();
  const start = useMemoryConsumers(db);

  const audited = async (id: string) =>
    (await db().pool.query(`SELECT action FROM consumer_audit WHERE detail ->> 'deadLetterId' = $1`, [id]))
      .rows;

  /** A letter with a scheduled row, and one of a record that could not be decoded. */
  async function twoLetters() {
    const consumerName = uniqueName('race');
    const ids = await storeLetters(db(), consumerName, [{}, {}]);
    await db().pool.query(
      `WITH gone AS (UPDATE dead_letter_events SET scheduled_seq = NULL WHERE id = $1)
       DELETE FROM scheduled_events WHERE worker_id = $2 AND "offset" = 1`,
      [ids[1], consumerName],
    );
    return { consumerName, ids };
  }

  /** The second decision is begun while the first is not committed, and waits for it. */
  async function interleaved(id: string, first: Decide, second: Decide) {
    const gate = Promise.withResolvers<void>();
    const decided = Promise.withResolvers<Awaited<ReturnType<Decide>>>();
    const one = db().transaction(async (tx) => {
      decided.resolve(await first(tx, id, by('ada')));
      await gate.promise;
    });
    const firstDecision = await decided.promise;
    const other = db().transaction((tx) => second(tx, id, by('bob')));
    const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
      AND application_name = 'consumer-under-test'`;
    await expect.poll(async () => (await db().pool.query(waiting)).rows.length, soon).toBe(1);
    gate.resolve();
    await one;
    return [firstDecision, await other];
  }

  it.each([
    ['two replays', replayDeadLetter, replayDeadLetter, 'DUE', 'replay'],
    ['a discard while it is replayed', replayDeadLetter, discardDeadLetter, 'DUE', 'replay'],
    ['a replay while it is discarded', discardDeadLetter, replayDeadLetter, 'DISCARDED', 'discard'],
  ] as const)('%s: the first stands, the second is refused', async (_, first, second, state, action) => {
    const { consumerName, ids } = await twoLetters();
    for (const id of ids) {
      const [one, other] = await interleaved(id, first, second);
      expect(one).toMatchObject({ id, outcome: expect.stringMatching(/ed$/) });
      expect(one?.outcome).not.toBe('refused');
      expect(other).toMatchObject({ outcome: 'refused', refusal: 'decided' });
      expect(await audited(id)).toEqual([{ action }]);
    }
    expect(await db().deadLetters(consumerName)).toMatchObject([{ state }, { state }]);
    const scheduled = await db().scheduled(consumerName);
    expect(scheduled).toHaveLength(state === 'DUE' ? 2 : 1);
    for (const row of scheduled) expect(row).toMatchObject({ state });
  });

  it('of many at once exactly one stands', async () => {
    const { consumerName, ids } = await twoLetters();
    for (const id of ids) {
      const decisions = await Promise.all(
        Array.from({ length: 6 }, (_, i) =>
          db().transaction((tx) => (i % 2 === 0 ? replayDeadLetter : discardDeadLetter)(tx, id, by('all'))),
        ),
      );
      expect(decisions.filter(({ outcome }) => outcome !== 'refused')).toHaveLength(1);
      expect(await audited(id)).toHaveLength(1);
    }
    expect((await db().deadLetters(consumerName)).filter(({ state }) => state === 'DEAD')).toEqual([]);
  });

  it('while the event is being tried again, a replay and a discard are refused, and it is handled once', async () => {
    const name = uniqueName('running');
    const gate = Promise.withResolvers<void>();
    const world = { isMended: false, isHandling: false };
    const { source, consumerName } = await start({
      retry: { attemptsMax: 1 },
      handle: async (tx: Tx, event: CountEvent) => {
        if (!world.isMended) throw new Error('broken');
        world.isHandling = true;
        await gate.promise;
        await countUp(tx, event);
      },
    });
    await source.deliver([counting(`${name}-1`, name)]);
    const [letter] = await db().deadLetters(consumerName);
    const id = String(letter?.id);
    world.isMended = true;
    await db().transaction((tx) => replayDeadLetter(tx, id, by('ada')));
    await expect.poll(() => world.isHandling, soon).toBe(true);
    for (const decide of [replayDeadLetter, discardDeadLetter])
      expect(await db().transaction((tx) => decide(tx, id, by('bob')))).toEqual({
        outcome: 'refused',
        id,
        refusal: 'decided',
        hint: 'it waits for no decision: it is DUE',
      });
    gate.resolve();
    await expect.poll(() => db().deadLetters(consumerName), soon).toMatchObject([{ state: 'DONE' }]);
    expect(await db().counted(name)).toBe(1);
  });
});
