import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBenchDatabase } from '../bench-database.ts';
import { type BenchRun, benchTopic } from '../bench-run.ts';
import { renewTopic } from '../bench-topic.ts';
import { cpuMsOf } from '../cpu.ts';
import { type MeasuredProcess, startMeasured } from '../measured-process.ts';
import { inTurn, ratios } from '../rounds.ts';
import { quantile, spread, spreadText } from '../statistics.ts';

/** Share of the events that is left out, at the beginning: what starts there is not what a service is like. */
const warmUpShare = 0.2;
const settleMs = 1_000;

/** Of one round, milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
  readonly events: number;
  readonly offeredPerSecond: number;
  /** CPU of the relay, microseconds per event; NaN without one. */
  readonly relayCpuUs: number;
}

type Publisher = 'kafkajs' | 'platformatic';

/** From the commit to a consumer, against producing straight to it with the same adapter. */
export async function latency(run: BenchRun): Promise<object> {
  const { sizes, servers } = run;
  const database = await createBenchDatabase(servers.postgresUrl);
  await database.query('CREATE TABLE bench_orders (id uuid PRIMARY KEY, data jsonb NOT NULL)');
  const newRound = () => database.query('TRUNCATE outbox, bench_orders');
  const variant = (publisher: Publisher, mode: 'commit' | 'produce') => async () => {
    await newRound();
    return measureLatency(run, database.url, publisher, mode);
  };
  const rounds = await inTurn(
    sizes.rounds,
    {
      'raw kafkajs': variant('kafkajs', 'produce'),
      'outbox kafkajs': variant('kafkajs', 'commit'),
      'raw platformatic': variant('platformatic', 'produce'),
      'outbox platformatic': variant('platformatic', 'commit'),
    },
    (round, name, { p50, p99 }) =>
      run.log(`round ${round}: ${name.padEnd(20)} p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`),
  );
  await database.drop();
  run.table(
    `Latency at ${sizes.latencyEventsPerSecond} events/s, one by one, ms: commit (outbox) or produce (raw) to consumed`,
    Object.entries(rounds).map(([name, ofVariant]) => rowOf(name, ofVariant)),
  );
  const figures = (name: keyof typeof rounds, of: 'p50' | 'p99') => rounds[name].map((one) => one[of]);
  const compared = (publisher: Publisher, of: 'p50' | 'p99') =>
    ratios(figures(`outbox ${publisher}`, of), figures(`raw ${publisher}`, of));
  run.judge('latencyKafkajsP50', compared('kafkajs', 'p50'));
  run.judge('latencyKafkajsP99', compared('kafkajs', 'p99'));
  run.judge('latencyPlatformaticP50', compared('platformatic', 'p50'));
  run.judge('latencyPlatformaticP99', compared('platformatic', 'p99'));
  return { rounds };
}

function rowOf(name: string, rounds: readonly Latency[]) {
  const of = (pick: (one: Latency) => number, digits: number) => {
    const values = rounds.map(pick);
    return values.some(Number.isNaN) ? '-' : spreadText(spread(values), digits);
  };
  return {
    '': name,
    p50: of((one) => one.p50, 1),
    p95: of((one) => one.p95, 1),
    p99: of((one) => one.p99, 1),
    max: of((one) => one.max, 0),
    'events/s': of((one) => one.offeredPerSecond, 0),
    'relay CPU µs/event': of((one) => one.relayCpuUs, 0),
  };
}

async function measureLatency(
  run: BenchRun,
  postgresUrl: string,
  publisher: Publisher,
  mode: 'commit' | 'produce',
): Promise<Latency> {
  const { servers, sizes, dir } = run;
  const { kafkaBrokers } = servers;
  await renewTopic(kafkaBrokers, benchTopic);
  const eventsPerSecond = sizes.latencyEventsPerSecond;
  const count = sizes.latencySeconds * eventsPerSecond;
  const [arrivedFile, sentFile] = [join(dir, 'arrived.json'), join(dir, 'sent.json')];
  const started: MeasuredProcess[] = [];
  const start = async (...args: Parameters<typeof startMeasured>) => {
    const one = await startMeasured(...args);
    started.push(one);
    await one.said('ready');
    return one;
  };
  try {
    const groupId = `bench-${Date.now()}`;
    const consumer = await start('latency-consumer', {
      kafkaBrokers,
      groupId,
      count,
      timesFile: arrivedFile,
    });
    const relay =
      mode === 'commit' ? await start('relay', { postgresUrl, kafkaBrokers, publisher }) : undefined;
    await sleep(Math.min(settleMs, run.sizes.latencySeconds * 250));
    const cpuBefore = relay && cpuMsOf(relay.pid);
    const shared = { mode, postgresUrl, kafkaBrokers, publisher };
    const writer = await start('latency-writer', { ...shared, eventsPerSecond, count, timesFile: sentFile });
    const written = await writer.said<{ eventsPerSecond: number }>('written');
    await consumer.said('complete', 60_000);
    const cpuMs = (relay && cpuMsOf(relay.pid)) ?? Number.NaN;
    const sent: number[] = JSON.parse(readFileSync(sentFile, 'utf8'));
    const arrived: number[] = JSON.parse(readFileSync(arrivedFile, 'utf8'));
    const took = arrived.map((at, n) => at - (sent[n] ?? Number.NaN)).slice(Math.floor(count * warmUpShare));
    return {
      p50: quantile(took, 0.5),
      p95: quantile(took, 0.95),
      p99: quantile(took, 0.99),
      max: Math.max(...took),
      events: took.length,
      offeredPerSecond: written.eventsPerSecond,
      relayCpuUs: ((cpuMs - (cpuBefore ?? Number.NaN)) * 1000) / count,
    };
  } finally {
    for (const one of started.reverse()) await one.stop();
  }
}
