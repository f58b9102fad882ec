import {
  type BatchContext,
  type ConsumedRecord,
  type Consumer,
  createConsumer,
  type Decoded,
  pgTransaction,
  type RecordSource,
} from '@orders/idempotent-consumer';
import { createLogger } from '@orders/service-runtime';
import pg from 'pg';
import { quantile } from '../statistics.ts';
import { clockMs } from './clock.ts';
import { numberHeader } from './events.ts';
import { createInboxWatch } from './inbox-watch.ts';
import { dueHeader, poisonKey } from './load-events.ts';
import { say, told } from './say.ts';
import { createSource, type SourceName } from './sources.ts';
import { openWindow, type WindowSettings } from './window.ts';

/** A consumer as its README has it, with its defaults. */
export interface ConsumerBenchSettings {
  readonly postgresUrl: string;
  readonly kafkaBrokers: readonly string[];
  readonly source: SourceName;
  readonly groupId: string;
  readonly consumerName: string;
  /** Counts a backlog; its handler does nothing. */
  readonly window?: WindowSettings;
  /** Or takes times under a steady load; its handler writes a row for each event, in one statement. */
  readonly load?: {
    /** Events of the load, duplicates included. */
    readonly count: number;
    /** Only events numbered from here on are counted, and only they may fail. */
    readonly countedFrom: number;
    /** Whether the events of the poison key fail, always. */
    readonly isPoisoned: boolean;
  };
}

/** What a round under load came to, milliseconds. */
export interface LoadTimes {
  readonly handledP50: number;
  readonly handledP99: number;
  readonly handledMax: number;
  readonly inboxP50: number;
  readonly inboxP99: number;
  readonly handled: number;
}

interface BenchEvent {
  readonly n: number;
  readonly dueMs: number;
  readonly key: string;
}

const settings = told<ConsumerBenchSettings>();
const logger = createLogger({ service: 'bench-consumer', level: 'error' });
const pool = new pg.Pool({ connectionString: settings.postgresUrl, max: 10 });
const watch = createInboxWatch();
const source = createSource(settings.source, {
  brokers: settings.kafkaBrokers,
  groupId: settings.groupId,
  logger,
});
const consumer = settings.load === undefined ? counting() : timing(settings.load);
await consumer.start();
say('ready');

process.once('SIGTERM', async () => {
  await consumer.stop();
  await pool.end();
  process.exit(0);
});

function counting(): Consumer {
  const consumed = openWindow(settings.window as WindowSettings);
  return create(source, pool, (_tx, events, { afterCommit }) => afterCommit(() => consumed(events.length)));
}

function timing({ count, countedFrom, isPoisoned }: NonNullable<typeof settings.load>): Consumer {
  const tookMs: number[] = [];
  const isCounted = ({ n, key }: BenchEvent) => n >= countedFrom && key !== poisonKey;
  let seen = 0;

  /** Every record of the load has come, handled or not. */
  function complete(): void {
    const inboxMs = watch.took();
    const times: LoadTimes = {
      handledP50: quantile(tookMs, 0.5),
      handledP99: quantile(tookMs, 0.99),
      handledMax: quantile(tookMs, 1),
      inboxP50: quantile(inboxMs, 0.5),
      inboxP99: quantile(inboxMs, 0.99),
      handled: tookMs.length,
    };
    say('times', times);
  }

  const watched = watch.source(source, {
    isCounted: (record) => decode(record).event.n >= countedFrom,
    onAccepted: (records) => {
      seen += records;
      if (seen - records < count && seen >= count) complete();
    },
  });
  return create(watched, watch.pool(pool), async (tx, events, { afterCommit }) => {
    if (isPoisoned && events.some(({ n, key }) => n >= countedFrom && key === poisonKey))
      throw new Error('poison');
    await tx.query('INSERT INTO bench_effects SELECT unnest($1::int[])', [events.map(({ n }) => n)]);
    afterCommit(() => {
      const now = clockMs();
      for (const event of events) if (isCounted(event)) tookMs.push(now - event.dueMs);
    });
  });
}

function create(
  from: RecordSource,
  connections: Parameters<typeof pgTransaction<pg.PoolClient>>[0],
  handleBatch: (tx: pg.PoolClient, events: BenchEvent[], context: BatchContext) => Promise<void> | void,
): Consumer {
  return createConsumer<BenchEvent, pg.PoolClient>(
    { source: from, transaction: pgTransaction(connections), logger },
    { consumerName: settings.consumerName, decode, handleBatch },
  );
}

function decode({ headers, key }: ConsumedRecord): Decoded<BenchEvent> & { event: BenchEvent } {
  const id = String(headers.ce_id);
  const event = { n: Number(headers[numberHeader]), dueMs: Number(headers[dueHeader]), key: String(key) };
  return { kind: 'event', id, event };
}
