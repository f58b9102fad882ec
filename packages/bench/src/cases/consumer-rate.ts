import { randomUUID } from 'node:crypto';
import { type BenchDatabase, createConsumerDatabase, emptyConsumerDatabase } from '../bench-database.ts';
import { type BenchRun, benchTopic } from '../bench-run.ts';
import { renewTopic } from '../bench-topic.ts';
import type { ConsumerBar } from '../consumer-bars.ts';
import type { ConsumerSizes } from '../consumer-sizes.ts';
import { type Drained, measureDrain } from '../drained.ts';
import { fillTopic } from '../fill-topic.ts';
import type { SourceName } from '../measured/sources.ts';
import { findPgbench, insertRate } from '../pgbench.ts';
import { inTurn, ratios } from '../rounds.ts';
import { median, spread, spreadText } from '../statistics.ts';

type Run = BenchRun<ConsumerSizes, ConsumerBar>;

/** Name of the note that holds a consumer's peak. */
export const peakOf = (source: SourceName): string => `peak ${source}`;

/** One that has consumed nothing. */
const newGroup = () => `bench-${randomUUID()}`;

/** Consume, deduplicate and commit, against consuming alone and against inserting the same rows alone. */
export async function consumerRate(run: Run): Promise<object> {
  const { sizes, servers } = run;
  const total = sizes.warmUpEvents + sizes.rateEvents;
  await fillForRate(run);
  const database = await createConsumerDatabase(servers.postgresUrl);
  const pgbench = findPgbench();
  if (pgbench === undefined) run.log('there is no pgbench: a small program of ours inserts the rows');
  const inserting = (clients: number) => async (): Promise<Drained> => {
    await emptyConsumerDatabase(database);
    const { dir } = run;
    const rows = sizes.rateEvents;
    const eventsPerSecond = await insertRate({ url: database.url, clients, rows, dir, pgbench });
    return { ...nothingElse, events: rows, eventsPerSecond };
  };
  const variants = {
    'raw kafkajs': () => raw(run, 'kafkajs'),
    'consumer kafkajs': () => consumed(run, database, 'kafkajs'),
    'raw platformatic': () => raw(run, 'platformatic'),
    'consumer platformatic': () => consumed(run, database, 'platformatic'),
    'pgbench 1 client': inserting(1),
    'pgbench 2 clients': inserting(2),
    'pgbench 4 clients': inserting(4),
  };
  const rounds = await inTurn(sizes.rounds, variants, (round, name, { eventsPerSecond }) =>
    run.log(`round ${round}: ${name.padEnd(22)} ${Math.round(eventsPerSecond)} events/s`),
  );
  await database.drop();
  run.table(
    `Consuming ${sizes.rateEvents} of ${total} events, 12 partitions; inserting the same inbox rows, 500 a transaction`,
    Object.entries(rounds).map(([name, of]) => rowOf(name, of)),
  );
  const rate = (name: keyof typeof rounds) => rounds[name].map((one) => one.eventsPerSecond);
  const perClients = [rate('pgbench 1 client'), rate('pgbench 2 clients'), rate('pgbench 4 clients')];
  const inserted = rate('pgbench 1 client').map((_, round) =>
    Math.max(...perClients.map((of) => of[round] ?? 0)),
  );
  const bound = (client: SourceName) =>
    rate(`raw ${client}`).map((value, round) => Math.min(value, inserted[round] ?? Number.NaN));
  run.judge('rateKafkajs', ratios(rate('consumer kafkajs'), bound('kafkajs')));
  run.judge('ratePlatformatic', ratios(rate('consumer platformatic'), bound('platformatic')));
  run.notes.set(peakOf('kafkajs'), median(rate('consumer kafkajs')));
  run.notes.set(peakOf('platformatic'), median(rate('consumer platformatic')));
  return { pgbench: pgbench === undefined ? 'none: a program of ours' : 'pgbench', rounds };
}

/** One measurement, for a run without {@link consumerRate}. */
export async function measurePeak(run: Run, database: BenchDatabase, source: SourceName): Promise<number> {
  await fillForRate(run);
  return (await consumed(run, database, source)).eventsPerSecond;
}

async function fillForRate({ sizes, servers, log }: Run): Promise<void> {
  // A window ends with the first chunk behind it.
  const total = sizes.warmUpEvents + sizes.rateEvents;
  log(`producing ${total} events`);
  await renewTopic(servers.kafkaBrokers, benchTopic);
  await fillTopic(servers.kafkaBrokers, benchTopic, total);
}

const windowOf = ({ warmUpEvents, rateEvents }: ConsumerSizes) => ({
  skip: warmUpEvents,
  // What comes before the window opens is a chunk more than what is skipped.
  count: Math.floor(rateEvents * 0.9),
});

const raw = (run: Run, client: SourceName): Promise<Drained> =>
  measureDrain(run, `raw-consumer-${client}`, `raw-consumer-${client}`, {
    groupId: newGroup(),
    window: windowOf(run.sizes),
  });

async function consumed(run: Run, database: BenchDatabase, source: SourceName): Promise<Drained> {
  await emptyConsumerDatabase(database);
  const drained = await measureDrain(run, `consumer-${source}`, 'consumer', {
    postgresUrl: database.url,
    source,
    groupId: newGroup(),
    consumerName: 'bench',
    window: windowOf(run.sizes),
  });
  const { rows } = await database.query('SELECT count(*)::int AS count FROM processed_events');
  if (rows[0].count < drained.events)
    throw new Error(`${drained.events} events were counted, the inbox has ${rows[0].count}`);
  return drained;
}

const nothingElse = {
  cpuUsPerEvent: Number.NaN,
  postgresCpuUs: Number.NaN,
  kafkaCpuUs: Number.NaN,
  peakRssMiB: Number.NaN,
};

function rowOf(name: string, rounds: readonly Drained[]) {
  const of = (pick: (one: Drained) => number, digits: number) => {
    const values = rounds.map(pick);
    return values.some(Number.isNaN) ? '-' : spreadText(spread(values), digits);
  };
  return {
    '': name,
    'events/s': of((one) => one.eventsPerSecond, 0),
    'its CPU µs/event': of((one) => one.cpuUsPerEvent, 1),
    'PostgreSQL µs/event': of((one) => one.postgresCpuUs, 1),
    'broker µs/event': of((one) => one.kafkaCpuUs, 1),
    'peak MiB': of((one) => one.peakRssMiB, 0),
  };
}
