import { setTimeout as sleep } from 'node:timers/promises';
import { outcomeOf, type SoakCase, type SoakContext } from '@orders/dev-stack/soak';
import { checkHistory } from '../../src/testing/history.ts';
import { createRunTopic, readRunTopic } from '../adversary/topic.ts';
import { createRunDatabase, type RunDatabase } from '../database.ts';
import { createRelayFleet } from '../relay-fleet.ts';

const smallBacklog = 100_000;
const largeBacklog = 1_000_000;
const aggregates = 2_000;
/** What the larger backlog may cost more: the heap grows as it likes, but not by twenty times. */
const growthMax = 1.25;
const mebibyte = 1_048_576;

/** Memory of a relay does not grow with what waits for it. */
export const backlog: SoakCase = {
  name: 'backlog',
  about: `${largeBacklog} events wait for one relay: its memory is that of ${smallBacklog}; nothing lost or inverted`,
  async run(context) {
    const small = await drain(context, smallBacklog);
    const large = await drain(context, largeBacklog);
    const growth = large.peakRssMiB / small.peakRssMiB;
    const { lost, inverted, duplicates, unexpected } = large;
    return outcomeOf(
      {
        events: largeBacklog,
        lost,
        inverted,
        duplicates,
        unexpected,
        eventsPerSecond: large.eventsPerSecond,
        [`peakRssMiB.${smallBacklog}`]: small.peakRssMiB,
        [`peakRssMiB.${largeBacklog}`]: large.peakRssMiB,
        'medianRssMiB.firstHalf': large.medianRssMiB[0],
        'medianRssMiB.secondHalf': large.medianRssMiB[1],
        growth: growth.toFixed(2),
      },
      [
        lost > 0 && `${lost} events lost`,
        inverted > 0 && `${inverted} events inverted`,
        unexpected > 0 && `${unexpected} records of nobody`,
        growth > growthMax && `the relay's memory grew ${growth.toFixed(2)} times with the backlog`,
      ],
    );
  },
};

async function drain({ log, servers, atEnd }: SoakContext, count: number) {
  const { postgresUrl, kafkaBrokers } = await servers();
  const database = await createRunDatabase(postgresUrl);
  atEnd(database.drop);
  const topic = await createRunTopic(kafkaBrokers, 12);
  log(`writing ${count} events`);
  await writeBacklog(database, topic, count);
  const fleet = createRelayFleet(1, {
    postgresUrl: database.url,
    kafkaBrokers,
    relay: { leaseDurationMs: 10_000 },
    reportIntervalMs: 250,
  });
  atEnd(fleet.stop);
  const relay = await fleet.start(0);
  const marked = () => reports(relay.logs).at(-1)?.marked ?? 0;
  const startMs = Date.now();
  for (let n = 1; marked() < count; n += 1) {
    await sleep(250);
    if (n % 40 === 0) log(`${marked()} of ${count} published, ${reports(relay.logs).at(-1)?.rssMiB} MiB`);
  }
  const seconds = (Date.now() - startMs) / 1000;
  const seen = reports(relay.logs).map(({ rssMiB }) => rssMiB);
  await fleet.stop();
  log(`${count} events published in ${seconds.toFixed(0)} s; reading them`);
  const read = await readRunTopic(kafkaBrokers, topic);
  return {
    ...checkHistory({
      written: writtenBacklog(count),
      read: read.map((records) => records.map(({ id }) => id)),
    }),
    eventsPerSecond: Math.round(count / seconds),
    peakRssMiB: Math.max(...seen),
    medianRssMiB: [median(seen.slice(0, seen.length / 2)), median(seen.slice(seen.length / 2))] as const,
  };
}

/** The relay's own reports, see `relay-process.ts`. */
function reports(logs: readonly Record<string, unknown>[]) {
  return logs
    .filter(({ msg }) => msg === 'relay: report')
    .map(({ rssBytes, marked }) => ({
      rssMiB: Math.round(Number(rssBytes) / mebibyte),
      marked: Number(marked),
    }));
}

const chunkSize = 100_000;

/** About 640 bytes an event with key and headers; its id is its number. */
async function writeBacklog({ pool }: RunDatabase, topic: string, count: number): Promise<void> {
  for (let from = 1; from <= count; from += chunkSize) {
    await pool.query(
      `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers)
       SELECT id, get_byte(sha256(convert_to(key, 'UTF8')), 0) % 64, $1, key, 'thing.changed.v1', 'thing', key,
              jsonb_build_object('n', i, 'text', repeat('x', 400)),
              jsonb_build_object('id', id, 'ce_type', 'thing.changed.v1', 'ce_source', 'soak')
       FROM (SELECT i, lpad(to_hex(i), 32, '0')::uuid AS id, 'key-' || i % $4 AS key
             FROM generate_series($2::bigint, $3::bigint) AS i) AS e
       ORDER BY i`,
      [topic, from, Math.min(count, from + chunkSize - 1), aggregates],
    );
  }
  await pool.query('ANALYZE outbox');
}

function writtenBacklog(count: number): Map<string, string[]> {
  const written = new Map<string, string[]>(Array.from({ length: aggregates }, (_, a) => [`key-${a}`, []]));
  for (let i = 1; i <= count; i += 1) {
    const hex = i.toString(16).padStart(32, '0');
    const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join(
      '-',
    );
    written.get(`key-${i % aggregates}`)?.push(id);
  }
  return written;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
