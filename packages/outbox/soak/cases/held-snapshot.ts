import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshSeed, outcomeOf, type SoakCase } from '@orders/dev-stack/soak';
import pg from 'pg';
import type { PoolLike } from '../../src/index.ts';
import { outboxNames } from '../../src/postgres.ts';
import { createOutboxRows } from '../../src/relay/outbox-rows.ts';
import { adversarialRelays } from '../adversary/adversarial-relays.ts';
import { type RunContext, runHistory } from '../adversary/run.ts';
import { brokenPromises, figuresOf } from './judged.ts';

const heldS = 180;
const eventsPerSecond = 1_000;
/** Against the same poll without the low-water mark. */
const pollShareMax = 1 / 10;
const oldestMaxS = 5;

/** Somebody's idle snapshot keeps everything that was published alive in the index; the relays must not wade through it. */
export const heldSnapshot: SoakCase = {
  name: 'held-snapshot',
  about: `an idle snapshot is held for ${heldS} s at ${eventsPerSecond} events/s; polls stay quick, events stay fresh`,
  async run({ log, servers }) {
    const seed = freshSeed();
    let holding: Promise<Held> | undefined;
    const report = await runHistory(await servers(), {
      seed,
      events: 1,
      eventsPerSecond,
      log,
      async relays(context) {
        const relays = await adversarialRelays({ seed, takeovers: 0, relay: { leaseDurationMs: 10_000 } })(
          context,
        );
        holding = hold(context, log);
        holding.catch(() => undefined); // awaited below
        let over = false;
        void holding.finally(() => {
          over = true;
        });
        return { ...relays, wantMore: async () => !over };
      },
    });
    const { pollMs, pollWithoutMarkMs, oldestS } = (await holding) as Held;
    return outcomeOf(
      {
        heldS,
        pollMs: pollMs.toFixed(2),
        pollWithoutMarkMs: pollWithoutMarkMs.toFixed(2),
        oldestUnpublishedS: oldestS.toFixed(2),
        ...figuresOf(report),
      },
      [
        pollMs > pollWithoutMarkMs * pollShareMax &&
          `a poll took ${(pollMs / pollWithoutMarkMs).toFixed(2)} of one without the mark`,
        oldestS > oldestMaxS && `an event waited for ${oldestS.toFixed(1)} s`,
        ...brokenPromises(report),
      ],
    );
  },
};

interface Held {
  /** Medians of a poll of all buckets at the end, milliseconds. */
  pollMs: number;
  pollWithoutMarkMs: number;
  /** Age of the oldest unpublished event, the worst that was seen. */
  oldestS: number;
}

const sampleIntervalMs = 5_000;
const pollsMeasured = 15;

async function hold({ database }: RunContext, log: (line: string) => void): Promise<Held> {
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  try {
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await holder.query('SELECT count(*) FROM outbox');
    let oldestS = 0;
    for (const endMs = Date.now() + heldS * 1000; Date.now() < endMs; await sleep(sampleIntervalMs)) {
      const { rows } = await database.pool.query(
        `SELECT coalesce(extract(epoch FROM clock_timestamp() - min(first.created_at)), 0)::float8 AS s
         FROM outbox_buckets b CROSS JOIN LATERAL (
           SELECT o.created_at FROM outbox o
           WHERE o.bucket = b.bucket AND o.published_at IS NULL AND o.held_at IS NULL AND o.seq >= b.low_seq
           ORDER BY o.seq LIMIT 1) first`,
      );
      oldestS = Math.max(oldestS, rows[0].s);
    }
    const [withMark, without]: [number[], number[]] = [[], []];
    for (let n = 0; n < pollsMeasured; n += 1) {
      withMark.push(await pollMsOf(database.pool, 'low_seq'));
      without.push(await pollMsOf(database.pool, '0'));
    }
    const held = { pollMs: median(withMark), pollWithoutMarkMs: median(without), oldestS };
    log(
      `a poll takes ${held.pollMs.toFixed(1)} ms, without the mark ${held.pollWithoutMarkMs.toFixed(1)} ms`,
    );
    return held;
  } finally {
    await holder.end();
  }
}

/** The relay's own read, of all buckets at once, in a transaction in which they are ours. */
async function pollMsOf(pool: pg.Pool, lowSeq: string): Promise<number> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(`INSERT INTO outbox_relays VALUES ('poll', now(), now())`);
    await client.query(`UPDATE outbox_buckets SET owner = 'poll', low_seq = ${lowSeq}`);
    const { read } = createOutboxRows(client as unknown as PoolLike, outboxNames(), 'poll');
    await read(allBuckets, 1, 1); // the first one of a connection is planned
    const startMs = performance.now();
    await read(allBuckets, 500, 1_000);
    return performance.now() - startMs;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

const allBuckets = Array.from({ length: 64 }, (_, bucket) => ({ bucket, topics: [], only: false }));

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
