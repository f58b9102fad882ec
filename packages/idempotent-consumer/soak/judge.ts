import { setTimeout as sleep } from 'node:timers/promises';
import type { World } from './world.ts';

/** What came of a run. */
export interface Verdict {
  readonly produced: number;
  readonly effects: number;
  /** Events without an effect. */
  readonly lost: number;
  /** Effects beyond the first of an event. */
  readonly doubled: number;
  /** Effects that came before an earlier event of their key. */
  readonly inverted: number;
  readonly dead: number;
}

/** Waits until every event has its effect, or nothing has happened for a while; then counts. */
export async function judge(world: World, produced: number, quietMaxMs = 60_000): Promise<Verdict> {
  let [last, sinceMs] = [-1, Date.now()];
  for (;;) {
    const effects = await world.effects();
    if (effects >= produced) break;
    if (effects !== last) [last, sinceMs] = [effects, Date.now()];
    if (Date.now() - sinceMs > quietMaxMs) break;
    await sleep(200);
  }
  await sleep(1_000); // what comes once too often comes soon
  const { rows } = await world.pool.query(
    `SELECT (SELECT count(*) FROM effects)::int AS effects,
       (SELECT count(DISTINCT (key, n)) FROM effects)::int AS distinct_events,
       (SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY key ORDER BY seq) AS before FROM effects) AS e
        WHERE n < before)::int AS inverted,
       (SELECT count(*) FROM dead_letter_events)::int AS dead`,
  );
  const { effects, distinct_events: distinct, inverted, dead } = rows[0];
  return { produced, effects, lost: produced - distinct, doubled: effects - distinct, inverted, dead };
}

/** The promises that a verdict breaks, in words. */
export const brokenPromises = ({ lost, doubled, inverted, dead }: Verdict): (string | false)[] => [
  lost > 0 && `${lost} events lost`,
  doubled > 0 && `${doubled} effects doubled`,
  inverted > 0 && `${inverted} effects out of order`,
  dead > 0 && `${dead} dead letters`,
];
