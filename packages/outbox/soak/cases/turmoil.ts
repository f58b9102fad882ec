import { setTimeout as sleep } from 'node:timers/promises';
import {
  createRandom,
  freshSeed,
  outcomeOf,
  type Random,
  type SoakCase,
  type SoakContext,
} from '@orders/dev-stack/soak';
import pg from 'pg';
import { createOutbox, createRelay, listDeadLetters, type Relay, redrive, skip } from '../../src/index.ts';
import { checkHistory } from '../../src/testing/history.ts';
import { wantedSeed } from '../config.ts';
import { createRunDatabase } from '../database.ts';
import { createBrokenBroker } from '../turmoil/broken-broker.ts';
import { createAggregates, type Written, write } from '../turmoil/writers.ts';

const rounds = 4;
const turmoilS = 30;
const relayCount = 3;
const writerCount = 6;
const topics = ['one', 'two', 'three'];
const settleTimeoutMs = 60_000;

/** What the other cases leave out: everything that can be wrong with topics, events and partitions, at the same time. */
export const turmoil: SoakCase = {
  name: 'turmoil',
  about: `${rounds} × ${turmoilS} s: topics fail, events are poison, are redriven and skipped, partitions move, relays come and go`,
  async run(context) {
    const figures: Record<string, number> = {};
    const broken: (string | false)[] = [];
    const first = wantedSeed();
    for (let round = 1; round <= rounds; round += 1) {
      const seed = round === 1 ? first : freshSeed();
      const { left, skipped, redriven, moved, ...report } = await oneRound(context, seed);
      const { events, lost, inverted, duplicates, unexpected, examples } = report;
      const all = { seed, events, lost, inverted, duplicates, unexpected, left, skipped, redriven, moved };
      for (const [name, value] of Object.entries(all)) figures[`${round}.${name}`] = value;
      context.log(`seed ${seed}: ${events} events, ${lost} lost, ${inverted} inverted, ${redriven} redriven`);
      broken.push(
        lost + inverted + unexpected > 0 && `seed ${seed}: ${examples.slice(0, 3).join(', ')}`,
        left > 0 && `seed ${seed}: ${left} events stay unpublished`,
      );
    }
    return outcomeOf(figures, broken);
  },
};

async function oneRound({ servers, atEnd }: SoakContext, seed: number) {
  const { postgresUrl } = await servers();
  const database = await createRunDatabase(postgresUrl);
  atEnd(database.drop);
  const pool = new pg.Pool({ connectionString: database.url, max: 40 });
  atEnd(() => pool.end());
  await createAggregates(pool);
  const random = createRandom(seed);
  const broker = createBrokenBroker(topics, random);
  const outbox = createOutbox({ pool });
  const written: Written = new Map();
  let over = false;
  const writing = Array.from({ length: writerCount }, (_, n) =>
    write({ pool, outbox, topics, written, isOver: () => over }, seed + n),
  );
  const relays = await Promise.all(
    Array.from({ length: relayCount }, () => startRelay(pool, broker, random)),
  );
  const operated = await operate(pool, broker, relays, random);
  over = true;
  await Promise.all(writing);
  const left = await settle(pool, broker);
  await Promise.all(relays.map((relay) => relay.stop()));
  await outbox.close();
  const seen = new Set([...broker.read.values()].flat());
  const isDue = (id: string) => seen.has(id) || !operated.skipped.has(id);
  const due = [...written].map(([name, ids]) => [name, ids.filter(isDue)] as const);
  return {
    ...checkHistory({ written: new Map(due), read: [...broker.read.values()] }),
    left,
    skipped: operated.skipped.size,
    redriven: operated.redriven,
    moved: operated.moved,
  };
}

type Broker = ReturnType<typeof createBrokenBroker>;

async function startRelay(pool: pg.Pool, { publisher }: Broker, random: Random): Promise<Relay> {
  const relay = createRelay(
    { pool, publisher },
    {
      ...{ leaseDurationMs: 800, pollIntervalMs: 50, backoffBaseMs: 10, backoffMaxMs: 80 },
      ...{ lowWaterIntervalMs: 30, partitionIntervalMs: 150, partitionWidthMs: 60_000, partitionsAhead: 1 },
      ...{ batchSizeMax: 5 + random.below(40), drainTimeoutMs: 1 + random.below(100) },
    },
  );
  await relay.start();
  return relay;
}

/** Breaks and mends things, and decides about dead letters, as somebody who does not know what he does. */
async function operate(pool: pg.Pool, broker: Broker, relays: Relay[], random: Random) {
  const done = { skipped: new Set<string>(), redriven: 0, moved: 0 };
  const decisions = [
    async () => broker.down.add(random.pick(topics)),
    async () => broker.down.clear(),
    async () => {
      if (random.chance(0.4)) for (const topic of topics) broker.down.add(topic);
    },
    async () => (broker.state.isCured = random.chance(0.3)),
    async () => {
      const place = random.below(relayCount);
      await relays[place]?.stop();
      relays[place] = await startRelay(pool, broker, random);
    },
    async () => (done.moved += await moveToDefault(pool)),
    async () => {
      const letters = await listDeadLetters(pool);
      if (letters.length === 0) return;
      const { id, eventId, aggregateType, orderingKey } = random.pick(letters);
      if (random.chance(0.25)) {
        await skip(pool, id, 'turmoil');
        done.skipped.add(eventId);
      } else {
        await redrive(pool, random.chance(0.5) ? { id } : { aggregateType, orderingKey });
        done.redriven += 1;
      }
    },
  ];
  for (const endMs = Date.now() + turmoilS * 1000; Date.now() < endMs; ) {
    await random.pick(decisions)();
    await sleep(random.below(150));
  }
  return done;
}

/** As if no relay had made the present partitions: their rows are in the default one. */
async function moveToDefault(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query(
    `SELECT partition FROM outbox_partitions() WHERE is_default OR lower_bound <= now() ORDER BY is_default`,
  );
  const fallback = rows.pop()?.partition;
  const moves = rows.map(
    ({ partition }) => `ALTER TABLE outbox DETACH PARTITION ${partition};
      INSERT INTO ${fallback} SELECT * FROM ${partition}; DROP TABLE ${partition};`,
  );
  const script = `SET LOCAL lock_timeout = '2s'; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE; ${moves.join(' ')}`;
  // A relay may have changed them meanwhile, or somebody may hold them: the next time, then.
  return pool.query(`BEGIN; ${script} COMMIT`).then(
    () => rows.length,
    () => 0,
  );
}

/** Mends everything. @returns how many events are still unpublished when nothing more happens */
async function settle(pool: pg.Pool, broker: Broker): Promise<number> {
  broker.down.clear();
  broker.state.isCured = true;
  const left = async () => {
    const { rows } = await pool.query('SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL');
    return rows[0].n as number;
  };
  for (const endMs = Date.now() + settleTimeoutMs; Date.now() < endMs && (await left()) > 0; ) {
    for (const { id } of await listDeadLetters(pool)) await redrive(pool, { id });
    await sleep(200);
  }
  return left();
}
