import { randomUUID } from 'node:crypto';
import { type BenchDatabase, createConsumerDatabase, emptyConsumerDatabase } from '../bench-database.ts';
import { type BenchRun, benchTopic } from '../bench-run.ts';
import { renewTopic } from '../bench-topic.ts';
import type { ConsumerBar } from '../consumer-bars.ts';
import type { ConsumerSizes } from '../consumer-sizes.ts';
import type { ConsumerBenchSettings, LoadTimes } from '../measured/consumer.ts';
import { idSql, type Poison, smallPoison } from '../measured/load-events.ts';
import { type SourceName, sourceNames } from '../measured/sources.ts';
import { type MeasuredName, type MeasuredProcess, startMeasured } from '../measured-process.ts';
import { inTurn, ratios } from '../rounds.ts';
import { spread, spreadText } from '../statistics.ts';
import { measurePeak, peakOf } from './consumer-rate.ts';

type Run = BenchRun<ConsumerSizes, ConsumerBar>;

/** Of the highest rate that was measured; a service that runs at it has no room for anything. */
const shareOfPeak = 0.5;
/** Share of the events that is left out, at the beginning: joining the group, compiling. */
const warmUpShare = 1 / 3;
/** What a user would notice; printed beside the inbox's answers. */
const inboxGoalMs = 10;

/** Beside batches as large as a topic takes by default there are few others: what counts is the delay, not the load. */
const besideLarge = { eventsPerSecond: 1_000, poison: { every: 1_000, valueLength: 1_030_000 } };

type Kind = 'new' | 'poison' | 'duplicates' | 'large poison';
const kinds: readonly Kind[] = ['new', 'poison', 'duplicates', 'large poison'];

/** One round. */
interface Loaded extends LoadTimes {
  readonly offeredPerSecond: number;
}

/** Under a steady load: new events, the same beside a key whose events all fail, small or large, and known events. */
export async function consumerLoad(run: Run): Promise<object> {
  const database = await createConsumerDatabase(run.servers.postgresUrl);
  const peaks = {} as Record<SourceName, number>;
  for (const source of sourceNames)
    peaks[source] = run.notes.get(peakOf(source)) ?? (await measurePeak(run, database, source));
  const variants = Object.fromEntries(
    sourceNames.flatMap((source) =>
      kinds.map((kind) => [
        `${source}, ${kind}`,
        () => {
          const half = { eventsPerSecond: Math.floor(peaks[source] * shareOfPeak), poison: smallPoison };
          return measure(run, database, { source, kind, ...(kind === 'large poison' ? besideLarge : half) });
        },
      ]),
    ),
  ) as Record<`${SourceName}, ${Kind}`, () => Promise<Loaded>>;
  const rounds = await inTurn(run.sizes.rounds, variants, (round, name, one) => {
    const handled = one.handled === 0 ? '' : `handled p99 ${one.handledP99.toFixed(1)} ms, `;
    run.log(`round ${round}: ${name.padEnd(25)} ${handled}inbox p99 ${one.inboxP99.toFixed(1)} ms`);
  });
  await database.drop();
  run.table(
    `At half the peak, ms: produced to handled (without the poison key), and chunk arrived to the inbox's answer (goal ${inboxGoalMs} ms)`,
    Object.entries(rounds).map(([name, of]) => rowOf(name, of)),
  );
  const of = (source: SourceName, kind: Kind, pick: (one: Loaded) => number) =>
    rounds[`${source}, ${kind}`].map(pick);
  const poison = (source: SourceName) =>
    ratios(
      of(source, 'poison', (one) => one.handledP99),
      of(source, 'new', (one) => one.handledP99),
    );
  const duplicate = (source: SourceName) =>
    ratios(
      of(source, 'duplicates', (one) => one.inboxP99),
      of(source, 'new', (one) => one.inboxP99),
    );
  run.judge('poisonKafkajs', poison('kafkajs'));
  run.judge('poisonPlatformatic', poison('platformatic'));
  run.judge('duplicateKafkajs', duplicate('kafkajs'));
  run.judge('duplicatePlatformatic', duplicate('platformatic'));
  const largePoison = (source: SourceName) => of(source, 'large poison', (one) => one.handledMax);
  run.judge('largePoisonKafkajs', largePoison('kafkajs'));
  run.judge('largePoisonPlatformatic', largePoison('platformatic'));
  return { peaks, shareOfPeak, rounds };
}

async function measure(
  { servers, sizes }: Run,
  database: BenchDatabase,
  {
    source,
    kind,
    eventsPerSecond,
    poison,
  }: { source: SourceName; kind: Kind; eventsPerSecond: number; poison: Poison },
): Promise<Loaded> {
  const { kafkaBrokers } = servers;
  const count = eventsPerSecond * sizes.loadSeconds;
  await emptyConsumerDatabase(database);
  if (kind === 'duplicates') await rememberAll(database, count);
  await renewTopic(kafkaBrokers, benchTopic);
  const started: MeasuredProcess[] = [];
  const start = async (name: MeasuredName, settings: object) => {
    const one = await startMeasured(name, { kafkaBrokers, ...settings });
    started.push(one);
    await one.said('ready');
    return one;
  };
  try {
    const load = { count, countedFrom: Math.floor(count * warmUpShare), isPoisoned: kind.endsWith('poison') };
    const settings: Omit<ConsumerBenchSettings, 'kafkaBrokers'> = {
      postgresUrl: database.url,
      source,
      groupId: `bench-${randomUUID()}`,
      consumerName: 'bench',
      load,
    };
    const consumer = await start('consumer', settings);
    const producer = await start('load', { eventsPerSecond, count, poison });
    const { eventsPerSecond: offeredPerSecond } = await producer.said<{ eventsPerSecond: number }>(
      'produced',
    );
    const times = await consumer.said<LoadTimes>('times', 60_000);
    return { ...times, offeredPerSecond };
  } finally {
    for (const one of started.reverse()) await one.stop();
  }
}

/** As a redelivery finds the inbox. */
async function rememberAll(database: BenchDatabase, count: number): Promise<void> {
  await database.query(
    `INSERT INTO processed_events (event_id, worker_id, topic, "partition", "offset")
     SELECT ${idSql}, 'bench', $2, 0, n FROM generate_series(0, $1::int - 1) AS n`,
    [count, benchTopic],
  );
  await database.query('VACUUM (ANALYZE) processed_events');
}

function rowOf(name: string, rounds: readonly Loaded[]) {
  const of = (pick: (one: Loaded) => number, digits = 1) => {
    // Duplicates are not handled; what is not a number comes as null from the process that says it.
    const values = rounds.map((one) => pick(one) ?? Number.NaN);
    return values.some(Number.isNaN) ? '-' : spreadText(spread(values), digits);
  };
  return {
    '': name,
    'handled p50': of((one) => one.handledP50),
    'handled p99': of((one) => one.handledP99),
    'handled max': of((one) => one.handledMax),
    'inbox p50': of((one) => one.inboxP50),
    'inbox p99': of((one) => one.inboxP99),
    'events/s': of((one) => one.offeredPerSecond, 0),
  };
}
