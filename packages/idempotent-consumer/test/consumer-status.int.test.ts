import { describe, expect, it } from 'vitest';
import {
  consumerStatus,
  listDeadLetters,
  overrideKillSwitch,
  pauseConsumer,
  resumeConsumer,
} from '../src/index.ts';
import { uniqueName, useDatabase } from './harness.ts';
import { storeLetters } from './letters.ts';

const by = { actor: 'ada', reason: 'the database is moved' };
const db = useDatabase();

describe('consumerStatus', () => {
  const statusOf = (consumerName: string, options: object = {}) =>
    db().transaction((tx) => consumerStatus(tx, { consumerName, ...options }));

  it('counts what is scheduled, dead and blocked, and shows the oldest blocked keys with age and reason', async () => {
    const consumerName = uniqueName('status');
    await storeLetters(db(), consumerName, [
      { key: 'a', reason: 'TypeError' },
      { key: 'b' },
      { key: 'b' },
      { key: 'c' },
    ]);
    await db().pool.query(
      `UPDATE scheduled_events SET state = CASE WHEN "offset" = 3 THEN 'DONE' WHEN "offset" > 0 THEN 'DUE' ELSE 'DEAD' END,
         created_at = clock_timestamp() - (10 - "offset") * interval '1 minute' WHERE worker_id = $1`,
      [consumerName],
    );
    const status = await statusOf(consumerName);
    expect(status).toMatchObject({
      scheduled: { count: 2, isComplete: true },
      dead: { count: 4, isComplete: true },
      blockedKeys: {
        count: 2,
        isComplete: true,
        oldest: [
          { orderingKey: 'key:a', state: 'DEAD', reason: 'TypeError', attempts: 3, waiting: 0 },
          { orderingKey: 'key:b', state: 'DUE', waiting: 1, eventId: `${consumerName}-letters-1` },
        ],
      },
      paused: null,
      killSwitchOffUntil: null,
    });
    expect(status.oldestScheduledAgeMs).toBeGreaterThan(599_000);
    expect(status.oldestScheduledAgeMs).toBeLessThan(660_000);
    expect(status.blockedKeys.oldest[1]?.ageMs).toBeGreaterThan(539_000);
    const going = await statusOf(consumerName, { onDeadLetter: 'continue' });
    expect(going.blockedKeys).toMatchObject({ count: 1, oldest: [{ orderingKey: 'key:b' }] });
  });

  it('looks at no more than it is told', async () => {
    const consumerName = uniqueName('bounded');
    await storeLetters(db(), consumerName, [{}, {}, {}, {}]);
    const status = await statusOf(consumerName, { countMax: 3, keysMax: 2 });
    const bounded = { count: 3, isComplete: false };
    expect(status).toMatchObject({ dead: bounded, scheduled: { isComplete: false }, blockedKeys: bounded });
    expect(status.blockedKeys.oldest).toHaveLength(2);
  });

  it('says who has paused it and why, and how long the kill switch is off', async () => {
    const consumerName = uniqueName('paused');
    await db().transaction((tx) => pauseConsumer(tx, consumerName, by));
    await db().transaction((tx) => overrideKillSwitch(tx, consumerName, { ...by, forMs: 60_000 }));
    const status = await statusOf(consumerName);
    expect(status.paused).toEqual({ since: expect.any(Date), ...by });
    expect(Number(status.killSwitchOffUntil) - Date.now()).toBeGreaterThan(50_000);
    await db().transaction((tx) => resumeConsumer(tx, consumerName, by));
    await db().transaction((tx) => overrideKillSwitch(tx, consumerName, { ...by, forMs: 0 }));
    expect(await statusOf(consumerName)).toMatchObject({ paused: null, killSwitchOffUntil: null });
  });

  it('of a consumer that nobody knows, there is nothing', async () => {
    expect(await statusOf(uniqueName('nobody'))).toEqual({
      scheduled: { count: 0, isComplete: true },
      dead: { count: 0, isComplete: true },
      blockedKeys: { count: 0, isComplete: true, oldest: [] },
      oldestScheduledAgeMs: null,
      paused: null,
      killSwitchOffUntil: null,
    });
  });
});

describe('listDeadLetters', () => {
  it('lists page by page, the oldest first, whatever is decided or added meanwhile', async () => {
    const consumerName = uniqueName('pages');
    const ids = await storeLetters(db(), consumerName, [{}, {}, {}, {}, {}]);
    const page = (after?: string) =>
      db().transaction((tx) => listDeadLetters(tx, { consumerName, limit: 2, after }));
    const first = await page();
    expect(first.deadLetters.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.deadLetters[0]).toEqual({
      id: ids[0],
      consumerName,
      state: 'DEAD',
      topic: 'letters',
      partition: 0,
      offset: '0',
      eventId: `${consumerName}-letters-0`,
      orderingKey: expect.stringMatching(/^key:/),
      reason: 'TypeError',
      attempts: 3,
      failedAt: expect.any(Date),
      decidedAt: null,
    });
    await db().pool.query(`UPDATE dead_letter_events SET state = 'DISCARDED' WHERE id = ANY ($1)`, [
      [ids[0], ids[1], ids[2]],
    ]);
    const second = await page(first.next ?? '');
    expect(second.deadLetters.map(({ id }) => id)).toEqual(ids.slice(3));
    expect(second.next).toBeNull();
    const all = await db().transaction((tx) => listDeadLetters(tx, { consumerName, state: 'ALL' }));
    expect(all.deadLetters.map(({ state }) => state)).toEqual([
      'DISCARDED',
      'DISCARDED',
      'DISCARDED',
      'DEAD',
      'DEAD',
    ]);
  });

  it.each([{ after: 'x' }, { limit: 0 }, { limit: 1_001 }, { state: 'dead' }, { from: new Date('x') }])(
    'refuses %o',
    async (options) => {
      const listed = db().transaction((tx) => listDeadLetters(tx, options as object));
      await expect(listed).rejects.toMatchObject({ code: 'CONSUMER_OPTION_INVALID' });
    },
  );
});
