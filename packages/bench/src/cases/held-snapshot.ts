import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@orders/dev-stack';
import pg from 'pg';
import { writeBacklog } from '../backlog.ts';
import { type BenchDatabase, createBenchDatabase } from '../bench-database.ts';
import { type BenchRun, benchTopic } from '../bench-run.ts';
import { renewTopic } from '../bench-topic.ts';
import { type Drained, measureDrain } from '../drained.ts';
import { type MeasuredProcess, startMeasured } from '../measured-process.ts';
import { inTurn, ratios } from '../rounds.ts';
import { median, spread, spreadText } from '../statistics.ts';

const progressS = 30;
/** A relay polls twice a second at least; none that we know again within this time means that it has changed. */
const pollTimeoutMs = 20_000;
/** Polls of each kind in a round. */
const pollsPerRound = 11;
/** Part of the drain that comes before what is counted. */
const warmUpShare = 1 / 5;

/** Somebody's idle snapshot keeps alive in the index what was published; the relay must not notice. */
export async function heldSnapshot(run: BenchRun): Promise<object> {
  const { servers, sizes } = run;
  const held = await createBenchDatabase(servers.postgresUrl);
  await renewTopic(servers.kafkaBrokers, benchTopic);
  const release = await holdSnapshot(held.url);
  try {
    const { polls, events } = await underLoad(run, held);
    const unheld = await withHistory(run, events);
    const drains = await inTurn(
      sizes.rounds,
      { unheld: () => drainMore(run, unheld), held: () => drainMore(run, held) },
      (round, name, { eventsPerSecond }) =>
        run.log(`round ${round}: drain ${name.padEnd(7)} ${Math.round(eventsPerSecond)} events/s`),
    );
    await unheld.drop();
    tables(run, events, polls, drains);
    return { published: events, polls, drains };
  } finally {
    await release();
    await held.drop();
  }
}

function tables(
  run: BenchRun,
  events: number,
  polls: { marked: number[]; unmarked: number[] },
  drains: { held: Drained[]; unheld: Drained[] },
): void {
  const { sizes } = run;
  run.table(
    `A snapshot held for ${sizes.heldSeconds} s at ${sizes.heldEventsPerSecond} events/s (${events} published)`,
    [
      { '': 'poll, ms', median: spreadText(spread(polls.marked), 2) },
      { '': 'the same without the low-water mark, ms', median: spreadText(spread(polls.unmarked), 2) },
      { '': `drain of ${sizes.heldDrainEvents}, held, events/s`, median: rates(drains.held) },
      { '': `drain of ${sizes.heldDrainEvents}, unheld, events/s`, median: rates(drains.unheld) },
    ],
  );
  run.judge('heldPoll', ratios(polls.marked, polls.unmarked));
  run.judge('heldDrain', ratios(drains.held.map(rate), drains.unheld.map(rate)));
}

const rate = ({ eventsPerSecond }: Drained): number => eventsPerSecond;
const rates = (drains: readonly Drained[]): string => spreadText(spread(drains.map(rate)), 0);

/** An idle transaction with a snapshot, as a forgotten psql session. @returns ends it */
async function holdSnapshot(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT count(*) FROM outbox');
  return () => client.end();
}

/** A writer and a relay for the time of the hold; the polls at its end, while both go on. */
async function underLoad(run: BenchRun, database: BenchDatabase) {
  const { servers, sizes } = run;
  const { kafkaBrokers } = servers;
  const postgresUrl = database.url;
  const relay = await startMeasured('relay', {
    ...{ postgresUrl, kafkaBrokers, publisher: 'kafkajs', sayPoll: true },
  });
  let writer: MeasuredProcess | undefined;
  try {
    const poll = await relay.said<Poll>('poll', pollTimeoutMs);
    writer = await startMeasured('steady-writer', {
      postgresUrl,
      eventsPerSecond: sizes.heldEventsPerSecond,
    });
    await writer.said('ready');
    for (let s = 0; s < sizes.heldSeconds; s += progressS) {
      await sleep(Math.min(progressS, sizes.heldSeconds - s) * 1000);
      run.log(`${await published(database)} events published under the snapshot`);
    }
    const polls = await measurePolls(run, postgresUrl, poll);
    const stopped = writer.stop();
    const { events, eventsPerSecond } = await writer.said<{ events: number; eventsPerSecond: number }>(
      'written',
    );
    await stopped;
    run.log(`${events} events written, ${eventsPerSecond.toFixed(0)} per second`);
    await waitFor('the relay', async () => (await published(database)) === events);
    return { polls, events };
  } finally {
    await writer?.stop();
    await relay.stop();
  }
}

async function published(database: BenchDatabase): Promise<number> {
  const { rows } = await database.query('SELECT count(published_at)::int AS n FROM outbox');
  return rows[0].n;
}

/** The relay's read, as it sends it. */
interface Poll {
  readonly statement: string;
  readonly values: unknown[];
}

/** The relay locks the rows in an order of its own. */
const marksSetBack = ['LOCK TABLE outbox_buckets IN EXCLUSIVE MODE', 'UPDATE outbox_buckets SET low_seq = 0'];

/**
 * Medians of each round, milliseconds. The poll without the low-water mark is the same statement in a transaction that
 * has set all marks back; it is rolled back before anybody waits long for it.
 */
async function measurePolls(run: BenchRun, url: string, { statement, values }: Poll) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const pollMs = async (before: string[]) => {
    await client.query('BEGIN');
    for (const text of before) await client.query(text);
    const startMs = performance.now();
    await client.query(statement, values);
    const tookMs = performance.now() - startMs;
    await client.query('ROLLBACK');
    return tookMs;
  };
  const measured = { marked: [] as number[], unmarked: [] as number[] };
  try {
    for (let round = 0; round <= run.sizes.rounds; round += 1) {
      const [marked, unmarked]: [number[], number[]] = [[], []];
      for (let n = 0; n < pollsPerRound; n += 1) {
        marked.push(await pollMs([]));
        unmarked.push(await pollMs(marksSetBack));
      }
      if (round === 0) continue; // statements are planned, pages come into memory
      measured.marked.push(median(marked));
      measured.unmarked.push(median(unmarked));
    }
    return measured;
  } finally {
    await client.end();
  }
}

/** A database of the same past, without the snapshot. */
async function withHistory(run: BenchRun, events: number): Promise<BenchDatabase> {
  const database = await createBenchDatabase(run.servers.postgresUrl);
  run.log(`the same past without the snapshot: ${events} events`);
  await writeBacklog(database, benchTopic, events);
  await measureDrain(run, 'history', 'relay', {
    ...{ postgresUrl: database.url, publisher: 'none', window: { skip: 1, count: events - 1 } },
  });
  return database;
}

/** Loads a further backlog (and vacuums, as far as the snapshot lets it) and drains it. */
async function drainMore(run: BenchRun, database: BenchDatabase): Promise<Drained> {
  const { sizes, servers } = run;
  const skip = Math.ceil(sizes.heldDrainEvents * warmUpShare);
  await writeBacklog(database, benchTopic, skip + sizes.heldDrainEvents);
  await renewTopic(servers.kafkaBrokers, benchTopic);
  await database.query('CHECKPOINT');
  return measureDrain(run, 'held', 'relay', {
    ...{ postgresUrl: database.url, publisher: 'kafkajs' },
    window: { skip, count: sizes.heldDrainEvents },
  });
}
