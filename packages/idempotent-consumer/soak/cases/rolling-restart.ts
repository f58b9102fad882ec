import { setTimeout as sleep } from 'node:timers/promises';
import { outcomeOf, type SoakCase } from '@orders/dev-stack/soak';
import { brokenPromises, judge } from '../judge.ts';
import type { Client } from '../member-process.ts';
import { createWorld, type Member, type World } from '../world.ts';

const restarts = 5;
const members = 3;
/** The default of the sources. */
const heartbeatIntervalMs = 3_000;
const eventsPerSecond = 240;

/** Three members, with default settings, are restarted in turn, as a rollout does; how long does a partition stand? */
const rollingRestart = (client: Client): SoakCase => ({
  name: `restart-${client}`,
  about: `${members} members restarted in turn at default settings, ${restarts} times: the longest gap of any partition`,
  async run({ log, servers, atEnd }) {
    const world = await createWorld(await servers());
    atEnd(world.close);
    const running: Member[] = [];
    for (let i = 0; i < members; i++) running.push(world.startMember({ client }));
    const producing = world.produce(eventsPerSecond);
    await sleep(15_000);
    const gapsMs: number[] = [];
    for (let i = 0; i < restarts; i++) {
      const from = await now(world);
      for (let j = 0; j < members; j++) {
        await (running.shift() as Member).end('SIGTERM');
        running.push(world.startMember({ client }));
        await sleep(8_000);
      }
      gapsMs.push(await longestGapMs(world, from));
      log(`restart ${i + 1}: the longest gap is ${gapsMs.at(-1)} ms`);
    }
    const verdict = await judge(world, await producing.stop());
    const median = gapsMs.toSorted((a, b) => a - b)[Math.floor(restarts / 2)] as number;
    const limitMs = heartbeatIntervalMs + 2_000;
    return outcomeOf({ medianGapMs: median, limitMs, gapsMs: gapsMs.join(' '), ...verdict }, [
      median > limitMs && `the longest gap is ${median} ms (median), ${limitMs} are allowed`,
      ...brokenPromises(verdict),
    ]);
  },
});

const now = async ({ pool }: World): Promise<Date> =>
  (await pool.query('SELECT clock_timestamp() AS now')).rows[0].now;

/** Between two effects of one partition, every partition being fed all the time. */
async function longestGapMs({ pool }: World, from: Date): Promise<number> {
  const { rows } = await pool.query(
    `SELECT max(extract(epoch FROM at - before) * 1000)::int AS gap
     FROM (SELECT at, lag(at) OVER (PARTITION BY partition ORDER BY at) AS before FROM effects WHERE at >= $1) AS e`,
    [from],
  );
  return rows[0].gap ?? 0;
}

export const rollingRestarts: readonly SoakCase[] = (
  ['kafkajs', 'platformatic', 'platformatic-consumer'] as const
).map(rollingRestart);
