import type pg from 'pg';
import { expect } from 'vitest';
import { noMetrics, type RelayMetrics } from '../src/metrics.ts';
import { outboxNames } from '../src/postgres.ts';
import { type RelaySettings, relaySettings } from '../src/relay/options.ts';
import { createPartitionKeeper } from '../src/relay/partition-keeper.ts';
import { partitionName, slotAt } from '../src/relay/partition-ranges.ts';
import { openTestDatabase } from './fixture.ts';
import { poll } from './relay-fixture.ts';

export const dayMs = 86_400_000;

/** Longer than any test: whoever waits for a lock goes on when it is free, and only then. */
export const patientMs = 60_000;

interface Row {
  /** Days since it was written. */
  age: number;
  published?: boolean;
  held?: boolean;
}

/** A database of one test's own, in which time has passed. */
export async function openPartitions() {
  const database = await openTestDatabase();
  const { pool } = database;
  const names = outboxNames();
  const log: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const say = (level: string) => (fields: object, message: string) =>
    void log.push({ level, message, fields: fields as Record<string, unknown> });
  const logger = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };

  /** What a relay does in its turn; two days of retention. */
  function keeper(
    o: Partial<RelaySettings> & {
      as?: pg.Pool;
      /** Waits for locks as short as relays do; else as long as it takes, on however busy a machine. */
      isBrief?: boolean;
      relayId?: string;
      metrics?: RelayMetrics;
      crashPoint?: (point: string) => void;
    } = {},
  ) {
    const {
      as = pool,
      isBrief = false,
      relayId = 'me',
      metrics = noMetrics,
      crashPoint = () => undefined,
      ...options
    } = o;
    const settings = { ...relaySettings({ retentionMs: 2 * dayMs }), ...options };
    return createPartitionKeeper(
      {
        pool: as,
        names,
        relayId,
        logger,
        metrics,
        crashPoint,
        ...(!isBrief && { lockTimeoutMs: patientMs }),
      },
      settings,
    );
  }

  const nameOf = (age: number): string => partitionName(slotAt(Date.now() - age * dayMs, dayMs));

  const open: pg.PoolClient[] = [];

  return {
    ...database,
    names,
    log,
    logger,
    keeper,
    /** A connection for as long as the test, so that one that fails leaves nobody waiting. */
    async connect(): Promise<pg.PoolClient> {
      const client = await database.pool.connect();
      open.push(client);
      return client;
    },
    async close(): Promise<void> {
      for (const client of open) client.release(true);
      await database.close();
    },
    /** Name of the partition of so many days ago. */
    nameOf,
    /** Names of the partitions, in order; default included. */
    async partitions(): Promise<string[]> {
      const { rows } = await pool.query(
        `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'outbox'::regclass ORDER BY 1`,
      );
      return rows.map(({ name }) => name);
    },
    /** The partition of so many days ago, as it would be there had a relay made it then. */
    async past(age: number): Promise<string> {
      const { fromMs, toMs } = slotAt(Date.now() - age * dayMs, dayMs);
      const literal = (ms: number) => `'${new Date(ms).toISOString()}'`;
      await pool.query(
        `CREATE TABLE ${nameOf(age)} PARTITION OF outbox FOR VALUES FROM (${literal(fromMs)}) TO (${literal(toMs)})`,
      );
      return nameOf(age);
    },
    /** Everything that is there is passed by the low-water mark. */
    passLowWater: () =>
      pool.query('UPDATE outbox_buckets SET low_seq = (SELECT last_value + 1 FROM outbox_seq)'),
    /** Writes rows, in order; published unless it says otherwise. */
    async write(rows: readonly Row[], connection: { query: pg.Pool['query'] } = pool): Promise<void> {
      for (const { age, published = true, held = false } of rows) {
        await connection.query(
          `INSERT INTO outbox (id, bucket, topic, key, type, aggregatetype, aggregateid, payload, created_at,
                               published_at, held_at)
           VALUES (gen_random_uuid(), 0, 't', 'k', 'y', 'a', 'i', '{}', to_timestamp($1),
                   CASE WHEN $2 THEN now() END, CASE WHEN $3 THEN now() END)`,
          [(Date.now() - age * dayMs) / 1000, published, held],
        );
      }
    },
    /** Waits until so many wait for a lock on the table or a part of it. @returns their process ids */
    async untilWaiting(count: number): Promise<number[]> {
      let pids: number[] = [];
      await expect
        .poll(async () => {
          const { rows } = await pool.query(
            `SELECT pid FROM pg_locks WHERE NOT granted AND relation::regclass::text ~ '^outbox'`,
          );
          pids = rows.map(({ pid }) => pid);
          return pids.length;
        }, poll)
        .toBe(count);
      return pids;
    },
  };
}

export type Partitions = Awaited<ReturnType<typeof openPartitions>>;
