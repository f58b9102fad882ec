import { setTimeout as sleep } from 'node:timers/promises';
import { type OwnServer, startOwnPostgres } from '@orders/dev-stack/own-servers';
import {
  outcomeOf,
  type SoakCase,
  type SoakContext,
  type SoakOutcome,
  skipped,
} from '@orders/dev-stack/soak';
import pg from 'pg';
import { createRelay, type Publisher } from '../../src/index.ts';
import { partitionStorage } from '../../src/migrations/0004-retention.ts';
import { createRunDatabase } from '../database.ts';
import { installed } from '../debian.ts';

const settings: Readonly<Record<string, string>> = {
  default: '',
  partition: partitionStorage,
  tight: 'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000',
  halfFull: `fillfactor = 50, ${partitionStorage}`,
};
/** What the day has brought already, so that a fifth of it is more than comes in a minute. */
const publishedBefore = 500_000;
const seconds = 300;
const batchSize = 50;
const batchesPerSecond = 10;

const about = `${seconds} s at ${batchSize * batchesPerSecond} events/s on a partition of ${publishedBefore} rows, by settings of autovacuum`;

/** What a partition's settings are worth: several databases of one server, all at the same time. */
export const autovacuum: SoakCase = {
  name: 'autovacuum',
  about: `${about}, PostgreSQL 18`,
  run: async (context) => bySettings(context, await startOwnPostgres()),
};

/** PostgreSQL 18 vacuums a partition that is being filled more often than those before it. */
export const autovacuum15: SoakCase = {
  name: 'autovacuum-15',
  about: `${about}, PostgreSQL 15`,
  async run(context) {
    const binDir = '/usr/lib/postgresql/15/bin';
    const missing = await installed('postgresql-15', `${binDir}/postgres`, context.log);
    return missing === undefined ? bySettings(context, await startOwnPostgres({ binDir })) : skipped(missing);
  },
};

async function bySettings(context: SoakContext, server: OwnServer & { url: string }): Promise<SoakOutcome> {
  context.atEnd(server.close);
  const prepared = await Promise.all(Object.keys(settings).map((name) => prepare(context, server.url, name)));
  const measured = await Promise.all(prepared.map((measure) => measure()));
  return outcomeOf(Object.fromEntries(measured.flat()), []);
}

type Figure = readonly [name: string, value: number | string];

/** @returns runs the load, and says what has become of the partition */
async function prepare({ log, atEnd }: SoakContext, serverUrl: string, name: string) {
  const database = await createRunDatabase(serverUrl);
  atEnd(database.drop);
  const pool = new pg.Pool({ connectionString: database.url, max: 6 });
  atEnd(() => pool.end());
  const { rows } = await pool.query(
    `SELECT partition FROM outbox_partitions() WHERE lower_bound <= now() AND upper_bound > now()`,
  );
  const hot: string = rows[0].partition;
  const names = partitionStorage.split(',').map((one) => one.split('=')[0]);
  await pool.query(`ALTER TABLE ${hot} RESET (${names.join()})`);
  if (settings[name]) await pool.query(`ALTER TABLE ${hot} SET (${settings[name]})`);
  await write(pool, publishedBefore, true);
  await pool.query(`VACUUM (ANALYZE) ${hot}`);
  log(`${name}: ${publishedBefore} rows are there`);
  const before = await sizesOf(pool, hot);
  return async (): Promise<Figure[]> => {
    const relay = createRelay({ pool, publisher: atOnce });
    await relay.start();
    let most = { dead: 0, unpublishedMiB: 0 };
    const startMs = Date.now();
    for (let n = 1; n <= seconds * batchesPerSecond; n += 1) {
      await write(pool, batchSize, false);
      if (n % 100 === 0) {
        const { dead, unpublishedMiB } = await sizesOf(pool, hot);
        most = {
          dead: Math.max(most.dead, dead),
          unpublishedMiB: Math.max(most.unpublishedMiB, unpublishedMiB),
        };
      }
      await sleep(startMs + (n * 1000) / batchesPerSecond - Date.now());
    }
    while (relay.status().marked < seconds * batchesPerSecond * batchSize) await sleep(100);
    await relay.stop();
    await sleep(2_000); // statistics arrive late
    const after = await sizesOf(pool, hot);
    const figures = {
      events: relay.status().marked,
      seconds: Math.round((Date.now() - startMs) / 1000),
      vacuums: after.vacuums,
      ...(after.vacuumMs === null ? {} : { vacuumSeconds: (after.vacuumMs / 1000).toFixed(1) }),
      deadMost: most.dead,
      unpublishedIndexMiBMost: most.unpublishedMiB.toFixed(1),
      heapGrowthMiB: (after.heapMiB - before.heapMiB).toFixed(0),
      heapMiB: after.heapMiB.toFixed(0),
    };
    return Object.entries(figures).map(([figure, value]) => [`${name}.${figure}`, value] as const);
  };
}

const atOnce: Publisher = {
  connect: async () => undefined,
  disconnect: async () => undefined,
  publish: async (records) => records.map(() => ({ acknowledged: true })),
};

/** About 640 bytes an event. */
const write = (pool: pg.Pool, count: number, published: boolean) =>
  pool.query(
    `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, headers, published_at)
     SELECT gen_random_uuid(), get_byte(sha256(convert_to('key-' || i, 'UTF8')), 0) % 64, 't', 'key-' || i,
            'thing.changed.v1', 'thing', 'key-' || i, jsonb_build_object('text', repeat('x', 400)),
            jsonb_build_object('id', gen_random_uuid()), CASE WHEN $2 THEN now() END
     FROM generate_series(1, $1::integer) i`,
    [count, published],
  );

async function sizesOf(pool: pg.Pool, hot: string) {
  const { rows } = await pool.query(
    `SELECT n_dead_tup::int AS dead, autovacuum_count::int AS vacuums, (to_jsonb(s) ->> 'total_autovacuum_time')::float8 AS "vacuumMs",
            pg_relation_size(relid) / 1048576.0::float8 AS "heapMiB",
            (SELECT pg_relation_size(i.indexrelid) / 1048576.0::float8 FROM pg_index i
             JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = s.relid AND pg_get_expr(i.indpred, i.indrelid) LIKE '%held_at IS NULL%') AS "unpublishedMiB"
     FROM pg_stat_all_tables s WHERE relid = $1::regclass`,
    [hot],
  );
  return rows[0] as {
    dead: number;
    vacuums: number;
    vacuumMs: number;
    heapMiB: number;
    unpublishedMiB: number;
  };
}
