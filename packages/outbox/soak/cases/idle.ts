import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { type ServiceProcess, startService, waitFor } from '@orders/dev-stack';
import { outcomeOf, type SoakCase } from '@orders/dev-stack/soak';
import type pg from 'pg';
import { packOutbox } from '../../test/packed.ts';
import { createRunDatabase } from '../database.ts';

const idleS = 60;
/** Of one core. */
const cpuPercentMax = 1;
const reportIntervalMs = 1_000;
/** How long PostgreSQL may keep its counters to itself. */
const countersLateMs = 1_500;

/** What an importer has: the tarball, plain Node, their own clients; here with nothing to do. */
const idleRelay = `
import { createRelay } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import { Kafka } from 'kafkajs';
import pg from 'pg';

const [connectionString, brokers, listen] = process.argv.slice(2);
const publisher = createKafkajsPublisher({ kafka: new Kafka({ brokers: brokers.split(',') }) });
await publisher.connect();
const pool = new pg.Pool({ connectionString, max: 4 });
const relay = createRelay({ pool, publisher }, { listen: listen === 'true' });
await relay.start();
setInterval(() => {
  const { user, system } = process.cpuUsage();
  const rssBytes = process.memoryUsage.rss();
  console.log(JSON.stringify({ atMs: Date.now(), cpuUs: user + system, rssBytes, healthy: relay.isHealthy() }));
}, ${reportIntervalMs});
`;

/** What a relay without events costs: the database queries, its own process CPU. */
export const idle: SoakCase = {
  name: 'idle',
  about: `a relay from the packed tarball, outside the workspace, has nothing to do for ${idleS} s`,
  async run({ log, servers, atEnd }) {
    const { postgresUrl, kafkaBrokers } = await servers();
    const packed = await packOutbox();
    atEnd(packed.projects.remove);
    const dir = await packed.projects.make('idle', ['kysely', 'kafkajs', 'pg'], { 'main.js': idleRelay });
    const database = await createRunDatabase(postgresUrl);
    atEnd(database.drop);
    const figures: Record<string, number | string> = {};
    const tooMuch: (string | false)[] = [];
    for (const listen of [true, false]) {
      const relay = await startService({
        name: 'idle relay',
        entry: pathToFileURL(join(dir, 'main.js')),
        args: [database.url, kafkaBrokers.join(','), String(listen)],
      });
      atEnd(() => relay.stop());
      const cost = await measure(relay, database.pool);
      await relay.stop();
      const how = listen ? 'listening' : 'polling';
      log(`${how}: ${cost.queriesPerSecond.toFixed(1)} queries/s, ${cost.cpuPercent.toFixed(2)} % of a core`);
      figures[`${how} queries/s`] = cost.queriesPerSecond.toFixed(1);
      figures[`${how} CPU % of a core`] = cost.cpuPercent.toFixed(2);
      figures[`${how} MiB`] = cost.rssMiB.toFixed(0);
      tooMuch.push(cost.cpuPercent > cpuPercentMax && `${how} takes more than ${cpuPercentMax} % of a core`);
    }
    return outcomeOf(figures, tooMuch);
  },
};

interface IdleCost {
  queriesPerSecond: number;
  cpuPercent: number;
  rssMiB: number;
}

interface Report {
  atMs: number;
  cpuUs: number;
  rssBytes: number;
  healthy: boolean;
}

async function measure(relay: ServiceProcess, pool: pg.Pool): Promise<IdleCost> {
  const reports = () => relay.logs.filter((line) => line.cpuUs !== undefined) as unknown as Report[];
  // The first seconds are the start: compiling, connecting, sharing the buckets out.
  await waitFor('an idle relay', async () => reports().filter((report) => report.healthy).length > 5);
  const startMs = Date.now();
  const transactionsBefore = await transactions(pool);
  const before = reports().at(-1) as Report;
  await sleep(idleS * 1000);
  const queries = (await transactions(pool)) - transactionsBefore - 1; // the one that counted
  const seconds = (Date.now() - startMs) / 1000;
  const after = reports().at(-1) as Report;
  if (!after.healthy) throw new Error('the relay did not stay healthy');
  return {
    queriesPerSecond: queries / seconds,
    cpuPercent: (after.cpuUs - before.cpuUs) / (after.atMs - before.atMs) / 10,
    rssMiB: after.rssBytes / 2 ** 20,
  };
}

/** Of the pool's database, so far. Each query of the relay is one. */
async function transactions(pool: pg.Pool): Promise<number> {
  await sleep(countersLateMs);
  const { rows } = await pool.query(
    'SELECT xact_commit::int AS n FROM pg_stat_database WHERE datname = current_database()',
  );
  return rows[0].n;
}
