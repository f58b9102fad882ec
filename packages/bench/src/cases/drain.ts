import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf, recordsOf, writeBacklog } from '../backlog.ts';
import { type BenchDatabase, copyBenchDatabase, createBenchDatabase } from '../bench-database.ts';
import { type BenchRun, benchTopic } from '../bench-run.ts';
import { countRecords, renewTopic } from '../bench-topic.ts';
import { type Drained, measureDrain } from '../drained.ts';
import type { PublisherName } from '../measured/publishers.ts';
import { runProducerPerformance } from '../producer-performance.ts';
import { inTurn, ratios } from '../rounds.ts';
import { spread, spreadText } from '../statistics.ts';

/** How the raw producers send: what was fastest of batches of 1,000 and 2,000, with 1, 2 and 4 under way. */
export const rawSending = {
  'raw-kafkajs': { batchSize: 1_000, concurrency: 2 },
  'raw-platformatic': { batchSize: 1_000, concurrency: 4 },
} as const;
/** More than fit a processor's cache, few enough to be loaded at once. */
const rawRecords = 20_000;

/** The relay's drain of a backlog against what each client does without a database. */
export async function drain(run: BenchRun): Promise<object> {
  const { sizes, servers } = run;
  const total = sizes.warmUpEvents + sizes.drainEvents;
  run.log(`writing a backlog of ${total} events`);
  const backlog = await createBenchDatabase(servers.postgresUrl);
  await writeBacklog(backlog, benchTopic, total);
  const recordsFile = join(run.dir, 'records.json');
  const records = await recordsOf(backlog, Math.min(rawRecords, total));
  writeFileSync(recordsFile, JSON.stringify(records));
  const recordBytes = records.reduce((sum, record) => sum + bytesOf(record), 0) / records.length;
  run.log(`${recordBytes.toFixed(0)} bytes a record: key, value and headers`);

  const variants = {
    'raw kafkajs': () => raw(run, 'raw-kafkajs', recordsFile),
    'relay kafkajs': () => relay(run, backlog, 'kafkajs'),
    'raw platformatic': () => raw(run, 'raw-platformatic', recordsFile),
    'relay platformatic': () => relay(run, backlog, 'platformatic'),
    'source only': () => relay(run, backlog, 'none'),
    ProducerPerformance: () => performance(run, Math.round(recordBytes)),
  };
  const rounds = await inTurn(sizes.rounds, variants, (round, name, drained) =>
    run.log(`round ${round}: ${name.padEnd(20)} ${Math.round(drained.eventsPerSecond)} events/s`),
  );
  await backlog.drop();

  run.table(
    `Drain of ${sizes.drainEvents} events (${recordBytes.toFixed(0)} bytes a record, 12 partitions, acks=all)`,
    Object.entries(rounds).map(([name, drained]) => rowOf(name, drained)),
  );
  const rate = (drained: readonly Drained[]) => drained.map(({ eventsPerSecond }) => eventsPerSecond);
  const rawKafkajs = rate(rounds['raw kafkajs']);
  run.judge('drainKafkajs', ratios(rate(rounds['relay kafkajs']), rawKafkajs));
  run.judge(
    'drainPlatformatic',
    ratios(rate(rounds['relay platformatic']), rate(rounds['raw platformatic'])),
  );
  run.judge('drainSource', ratios(rate(rounds['source only']), rawKafkajs));
  return { recordBytes, rawSending, rounds };
}

function rowOf(name: string, drained: readonly Drained[]) {
  const of = (pick: (one: Drained) => number, digits: number) => {
    const values = drained.map(pick);
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

async function relay(run: BenchRun, backlog: BenchDatabase, publisher: PublisherName): Promise<Drained> {
  const { servers, sizes } = run;
  const database = await copyBenchDatabase(servers.postgresUrl, backlog);
  if (publisher !== 'none') await renewTopic(servers.kafkaBrokers, benchTopic);
  const drained = await measureDrain(run, `relay-${publisher}`, 'relay', {
    postgresUrl: database.url,
    publisher,
    window: { skip: sizes.warmUpEvents, count: sizes.drainEvents },
  });
  if (publisher !== 'none') await assertAllThere(run);
  await database.drop();
  return drained;
}

async function raw(
  run: BenchRun,
  client: 'raw-kafkajs' | 'raw-platformatic',
  recordsFile: string,
): Promise<Drained> {
  const { servers, sizes } = run;
  await renewTopic(servers.kafkaBrokers, benchTopic);
  const drained = await measureDrain(run, client, client, {
    topic: benchTopic,
    recordsFile,
    ...rawSending[client],
    window: { skip: sizes.warmUpEvents, count: sizes.drainEvents },
  });
  await assertAllThere(run);
  return drained;
}

async function performance(run: BenchRun, recordBytes: number): Promise<Drained> {
  const { servers, sizes } = run;
  await renewTopic(servers.kafkaBrokers, benchTopic);
  return runProducerPerformance(servers, { events: sizes.drainEvents, recordBytes });
}

/** A rate of events that never arrived would be none. */
async function assertAllThere({ servers, sizes, log }: BenchRun): Promise<void> {
  const expected = sizes.warmUpEvents + sizes.drainEvents;
  const found = await countRecords(servers.kafkaBrokers, benchTopic);
  if (found < expected) throw new Error(`${expected} events were published, the topic has ${found}`);
  // A client repeats a request whose answer it missed, as on a busy machine; the window counts its events once.
  if (found > expected) log(`${found - expected} records were sent again`);
}
