import { setTimeout as sleep } from 'node:timers/promises';
import type { Servers } from '@orders/dev-stack/soak';
import { checkHistory, type HistoryReport } from '../../src/testing/history.ts';
import { createRunDatabase, type RunDatabase } from '../database.ts';
import { unexplainedDuplicates } from './duplicates.ts';
import { createLedger, takeovers, writtenEvents } from './ledger.ts';
import { createRunTopic, readRunTopic } from './topic.ts';
import { startWriters, type WriterCounts, type WritersOptions } from './writers.ts';

/** What a run hands to the relays that it tests. */
export interface RunContext extends Servers {
  readonly database: RunDatabase;
  readonly topic: string;
}

/** Relays of whatever kind, from their start until everything written is published. */
export interface RelaysUnderTest {
  /** Whether writers should go on for the sake of the relays, though they have written enough. */
  wantMore(): Promise<boolean>;
  /** Whether everything committed has been dealt with, as these relays see it; asked when the writers have ended. */
  isDrained(): Promise<boolean>;
  /** Called once the writers have ended: no more trouble from here on. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

export interface RunOptions {
  readonly seed: number;
  /** Events to be written, at least. */
  readonly events: number;
  readonly relays: (context: RunContext) => Promise<RelaysUnderTest>;
  /** Events per second, at most; as fast as they can unless given. */
  readonly eventsPerSecond?: number;
  readonly goOnAfterErrors?: boolean;
  readonly writers?: number;
  readonly log?: (line: string) => void;
}

/** What came of a run. */
export interface RunReport extends HistoryReport {
  readonly seed: number;
  readonly takeovers: number;
  /** Duplicates whose bucket was not taken over between the two times at which they were published. */
  readonly unexplainedDuplicates: number;
  readonly rolledBack: number;
  readonly failed: number;
  /** The lowest low-water mark of all buckets at the end, as a share of the highest number; 0 if it never rose. */
  readonly lowWaterShare: number;
  readonly seconds: number;
}

export const writersDefault = 12;
/** Few, so that writers wait for each other's locks. */
const aggregateCount = 16;
const partitions = 4;
const stalledMs = 30_000;

/** Writes, relays, and compares what was read with what was written; the database and the processes go at the end. */
export async function runHistory(servers: Servers, options: RunOptions): Promise<RunReport> {
  const startMs = Date.now();
  const aggregates = Array.from({ length: aggregateCount }, (_, i) => `thing-${i}`);
  const database = await createRunDatabase(servers.postgresUrl);
  try {
    await createLedger(database.pool, aggregates);
    const topic = await createRunTopic(servers.kafkaBrokers, partitions);
    const relays = await options.relays({ ...servers, database, topic });
    let counts: WriterCounts;
    try {
      counts = await write(relays, options, { url: database.url, topic, aggregates });
      await relays.settle();
      await untilDrained(relays, database, options);
    } finally {
      await relays.stop();
    }
    const read = await readRunTopic(servers.kafkaBrokers, topic);
    const written = await writtenEvents(database.pool);
    const taken = await takeovers(database.pool);
    return {
      ...checkHistory({ written, read: read.map((records) => records.map(({ id }) => id)) }),
      seed: options.seed,
      takeovers: taken.length,
      unexplainedDuplicates: read.flatMap((records) => unexplainedDuplicates(records, taken)).length,
      rolledBack: counts.rolledBack,
      failed: counts.failed,
      lowWaterShare: await lowWaterShare(database),
      seconds: Math.round((Date.now() - startMs) / 1000),
    };
  } finally {
    await database.drop();
  }
}

async function write(
  relays: RelaysUnderTest,
  options: RunOptions,
  where: Pick<WritersOptions, 'url' | 'topic' | 'aggregates'>,
): Promise<WriterCounts> {
  const { seed, events, eventsPerSecond, goOnAfterErrors = false, writers = writersDefault, log } = options;
  const startMs = Date.now();
  let wantMore = true;
  const pause = ({ committed }: WriterCounts) => {
    if (committed >= events && !wantMore) return undefined;
    if (eventsPerSecond === undefined) return committed >= events ? 40 * writers : 0;
    return Math.max(0, (committed / eventsPerSecond) * 1000 - (Date.now() - startMs));
  };
  const { done, counts } = startWriters({ seed, writers, goOnAfterErrors, pause, ...where });
  let over = false;
  const asking = (async () => {
    for (let n = 1; !over; n += 1) {
      if (wantMore) wantMore = await relays.wantMore().catch(() => true);
      if (n % 50 === 0)
        log?.(`${counts.committed} events written, ${counts.rolledBack} transactions rolled back`);
      await sleep(100);
    }
  })();
  await done.finally(() => {
    over = true;
  });
  await asking;
  return counts;
}

async function lowWaterShare({ pool }: RunDatabase): Promise<number> {
  const { rows } = await pool.query(
    `SELECT (min(low_seq)::float8 / (SELECT max(seq) FROM outbox)) AS share FROM outbox_buckets`,
  );
  return Number(rows[0].share ?? 0);
}

/** Gives up when nothing has moved for long, whatever the speed of the machine: the checker then finds what is lost. */
async function untilDrained(
  relays: RelaysUnderTest,
  database: RunDatabase,
  options: RunOptions,
): Promise<void> {
  const left = async () => {
    const { rows } = await database.pool.query(
      'SELECT count(*)::int AS n FROM outbox WHERE published_at IS NULL',
    );
    return rows[0].n as number;
  };
  let last = { left: -1, atMs: Date.now() };
  while (!(await relays.isDrained())) {
    const now = await left();
    if (now !== last.left) last = { left: now, atMs: Date.now() };
    if (Date.now() - last.atMs > stalledMs) {
      options.log?.(`${now} events stay unpublished, and nothing moves any more`);
      return;
    }
    await sleep(100);
  }
}
