import {
  bool,
  type Connection,
  integer,
  orNull,
  readRow,
  readRows,
  real,
  secondsOf,
  text,
  time,
} from './answers.ts';
import { pauseColumns, pauseOf, type RelayPause, selectPause } from './pause.ts';
import { type OutboxNames, outboxNames, type PoolLike } from './postgres.ts';
import { foreignIn } from './restored.ts';

/** A bucket as it now is. */
export interface BucketStatus {
  readonly bucket: number;
  /** Id of the relay that has it. */
  readonly owner: string | null;
  /** Rises with every owner. */
  readonly epoch: number;
  /** Unpublished events, counted up to the limit. */
  readonly backlog: number;
}

/** The table's partitions as they now are. */
export interface PartitionStatus {
  /** Without the default partition. */
  readonly count: number;
  /** Time since the beginning of the oldest one, milliseconds; null when there is none. */
  readonly oldestAgeMs: number | null;
  /** Time until the end of the last one, milliseconds; beyond it rows go to the default partition. */
  readonly aheadMs: number | null;
  /** Whether rows are in the default partition. */
  readonly defaultIsUsed: boolean;
}

/** An aggregate whose events wait: for a decision about a dead letter, or in order behind one that is redriven. */
export interface BlockedAggregate {
  readonly aggregateType: string;
  readonly orderingKey: string;
  readonly state: 'BLOCKED' | 'REDRIVING';
  readonly since: Date;
}

/** A topic that went on failing while others did not, so that its rows were set aside. */
export interface SetAsideTopic {
  readonly topic: string;
  /** In how many buckets. */
  readonly buckets: number;
  readonly since: Date;
}

/** The outbox as the database says. */
export interface OutboxStatus {
  /** Unpublished events but those of blocked aggregates; at least this many when `backlogIsComplete` is false. */
  readonly backlog: number;
  readonly backlogIsComplete: boolean;
  /** Age of the oldest unpublished event by `created_at`, milliseconds; null when there is none. */
  readonly oldestUnpublishedAgeMs: number | null;
  /** All of them, in order. */
  readonly buckets: readonly BucketStatus[];
  /** How long the oldest transaction of this database that has written something has been open, milliseconds. */
  readonly oldestWritingTransactionMs: number | null;
  /** Since when the relays publish nothing by `pauseRelays`; null if they are not paused. */
  readonly paused: RelayPause | null;
  readonly blockedAggregates: number;
  /** Those that have been so for longest, 100 at most. */
  readonly longestBlocked: readonly BlockedAggregate[];
  readonly setAsideTopics: readonly SetAsideTopic[];
  /** Whether it was restored from another server, so that relays refuse it until `adoptRestoredOutbox`. */
  readonly isRestored: boolean;
  readonly partitions: PartitionStatus;
}

/** Options of {@link outboxStatus}. */
export interface OutboxStatusOptions {
  /** Schema of the tables; else `search_path` decides. */
  readonly schema?: string;
  /** Unpublished events that are counted of each bucket, at most (1,000): what bounds the cost. */
  readonly countMax?: number;
}

/**
 * Looks at the outbox, in seven statements. Reads at most `countMax` entries of the index on unpublished rows for each of
 * the 64 buckets, whatever the backlog; a role without `pg_read_all_stats` sees only its own writing transactions.
 */
export async function outboxStatus(
  pool: Pick<PoolLike, 'query'>,
  options: OutboxStatusOptions = {},
): Promise<OutboxStatus> {
  const { schema, countMax = 1_000 } = options;
  const names = outboxNames(schema);
  const rows = await readRows(
    pool,
    { bucket: integer, owner: orNull(text), epoch: integer, backlog: integer, age_ms: orNull(real) },
    `SELECT * FROM ${names.backlog}($1) ORDER BY bucket`,
    [countMax],
  );
  const writing = await readRow(
    pool,
    { writing_ms: orNull(real), ...pauseColumns },
    `SELECT w.writing_ms, p.* FROM (
       SELECT (extract(epoch FROM clock_timestamp() - min(xact_start)) * 1000)::float8 AS writing_ms
       FROM pg_stat_activity
       WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()) w
     LEFT JOIN (${selectPause(names)}) p ON true`,
  );
  const buckets = rows.map(({ bucket, owner, epoch, backlog }) => ({ bucket, owner, epoch, backlog }));
  const ages = rows.flatMap(({ age_ms }) => (age_ms === null ? [] : [age_ms]));
  const { writing_ms: writingMs } = writing;
  return {
    backlog: buckets.reduce((sum, { backlog }) => sum + backlog, 0),
    backlogIsComplete: buckets.every(({ backlog }) => backlog < countMax),
    oldestUnpublishedAgeMs: ages.length === 0 ? null : Math.max(0, ...ages),
    buckets,
    oldestWritingTransactionMs: writingMs === null ? null : Math.max(0, writingMs),
    paused: pauseOf(writing),
    ...(await blockedStatus(pool, names)),
    isRestored: (await foreignIn(pool, names)) !== null,
    setAsideTopics: await setAsideTopics(pool, names),
    partitions: await partitionStatus(pool, names),
  };
}

const blockedMax = 100;

async function blockedStatus(
  pool: Connection,
  names: OutboxNames,
): Promise<Pick<OutboxStatus, 'blockedAggregates' | 'longestBlocked'>> {
  const rows = await readRows(
    pool,
    { aggregatetype: text, aggregateid: text, state: text, since: time, count: integer },
    `SELECT aggregatetype, aggregateid, state, ${secondsOf('since')} AS since, count(*) OVER ()::int AS count FROM ${names.blocked} b
     ORDER BY b.since LIMIT $1`,
    [blockedMax],
  );
  const longestBlocked = rows.map((row) => ({
    aggregateType: row.aggregatetype,
    orderingKey: row.aggregateid,
    state: row.state as BlockedAggregate['state'],
    since: row.since,
  }));
  return { blockedAggregates: rows[0]?.count ?? 0, longestBlocked };
}

const setAsideTopics = (pool: Connection, names: OutboxNames): Promise<SetAsideTopic[]> =>
  readRows(
    pool,
    { topic: text, buckets: integer, since: time },
    `SELECT topic, count(*)::int AS buckets, ${secondsOf('min(since)')} AS since
     FROM ${names.parked} GROUP BY topic ORDER BY topic`,
  );

async function partitionStatus(pool: Connection, names: OutboxNames): Promise<PartitionStatus> {
  const found = await readRow(
    pool,
    { count: integer, fallback: orNull(text), age_ms: orNull(real), ahead_ms: orNull(real) },
    `SELECT count(*) FILTER (WHERE NOT is_default)::int AS count, max(partition) FILTER (WHERE is_default) AS fallback,
            (extract(epoch FROM clock_timestamp() - min(lower_bound)) * 1000)::float8 AS age_ms,
            (extract(epoch FROM max(upper_bound) - clock_timestamp()) * 1000)::float8 AS ahead_ms
     FROM ${names.partitions}()`,
  );
  const { count, fallback, age_ms: oldestAgeMs, ahead_ms: aheadMs } = found;
  const defaultIsUsed = fallback !== null && (await hasRows(pool, fallback));
  return { count, oldestAgeMs, aheadMs, defaultIsUsed };
}

const hasRows = async (pool: Connection, table: string): Promise<boolean> =>
  (await readRow(pool, { found: bool }, `SELECT EXISTS (SELECT FROM ${table}) AS found`)).found;
