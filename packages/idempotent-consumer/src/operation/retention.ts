import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../ask.ts';
import { ConsumerError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { asError } from '../reason.ts';
import type { RecordSource } from '../source.ts';
import type { ConsumerTransaction, RunTransaction } from '../transaction.ts';
import { isTransient } from '../transient.ts';

/** How long rows that are done with are kept, and how gently they leave. */
export interface RetentionOptions {
  /**
   * How long the inbox remembers an event; 30 days. An event that comes again after that is handled again, so this must
   * be longer than any redelivery may take: the topic's retention, and whatever else somebody may replay from.
   */
  readonly inboxMs?: number;
  /** How long finished scheduled events, and dead letters that are done or discarded, are kept; 30 days. */
  readonly finishedMs?: number;
  /** Rows of one delete, each in a transaction of its own; 1,000. */
  readonly batchSizeMax?: number;
  /** Between two deletes; 100 ms. */
  readonly batchPauseMs?: number;
  /** Between two passes of a running consumer; 10 minutes. */
  readonly intervalMs?: number;
}

const dayMs = 86_400_000;

const retentionDefaults: Required<RetentionOptions> = {
  inboxMs: 30 * dayMs,
  finishedMs: 30 * dayMs,
  batchSizeMax: 1_000,
  batchPauseMs: 100,
  intervalMs: 600_000,
};

/** Options with their defaults. @throws ConsumerError `CONSUMER_OPTION_INVALID` */
export function retentionSettings(options: RetentionOptions): Required<RetentionOptions> {
  const settings = { ...retentionDefaults, ...options };
  for (const name of Object.keys(retentionDefaults) as (keyof RetentionOptions)[]) {
    const value = settings[name];
    if (Number.isSafeInteger(value) && value >= 1) continue;
    const message = `retention.${name} is not a positive integer`;
    throw new ConsumerError('CONSUMER_OPTION_INVALID', message);
  }
  return settings;
}

/** What one pass came to. */
export interface RetentionPass {
  /** `busy`: another member is at it, and this one has left it the rest. `stopped`: by the signal. */
  readonly outcome: 'done' | 'busy' | 'stopped';
  /** Rows deleted. */
  readonly inbox: number;
  readonly scheduled: number;
  readonly deadLetters: number;
}

/** What {@link deleteExpired} works with. */
export interface RetentionDeps<Tx extends ConsumerTransaction> {
  readonly transaction: RunTransaction<Tx>;
  /** Ends the pass after the delete in hand. */
  readonly signal?: AbortSignal;
}

/**
 * Deletes what this consumer has kept for longer than the horizons, once: for a cron job. A consumer with the option
 * `retention` does it by itself. Of several at the same time one works, batch by batch; none waits for another.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`, and what the transaction throws
 */
export async function deleteExpired<Tx extends ConsumerTransaction>(
  { transaction, signal }: RetentionDeps<Tx>,
  { consumerName, ...options }: RetentionOptions & { readonly consumerName: string },
): Promise<RetentionPass> {
  const settings = retentionSettings(options);
  const untimed = { signal: new AbortController().signal };
  const deleted = { inbox: 0, scheduled: 0, deadLetters: 0 };
  for (const [name, { sql, horizon }] of Object.entries(expiring)) {
    for (;;) {
      if (signal?.aborted) return { outcome: 'stopped', ...deleted };
      const values = [consumerName, settings[horizon], settings.batchSizeMax];
      const count = await transaction((tx) => deleteBatch(tx, sql, values), untimed);
      if (count === undefined) return { outcome: 'busy', ...deleted };
      deleted[name as keyof typeof deleted] += count;
      if (count < settings.batchSizeMax) break;
      await sleep(settings.batchPauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
  return { outcome: 'done', ...deleted };
}

/** @returns undefined while another member deletes */
async function deleteBatch(
  tx: ConsumerTransaction,
  sql: string,
  values: readonly unknown[],
): Promise<number | undefined> {
  const lock = `SELECT pg_try_advisory_xact_lock(hashtextextended('idempotent-consumer.retention ' || $1, 0))::text AS answer`;
  if ((await ask(tx, lock, values.slice(0, 1))) !== true) return undefined;
  return Number(await ask(tx, sql, values));
}

/**
 * At most $3 rows of consumer $1 that are older than $2 ms, the oldest first, so that a batch reads in the index little
 * more than it deletes. By `ctid`: a row that was changed meanwhile is another one, and stays.
 */
const deletion = (table: string, time: string, condition = 'true'): string => `
    WITH gone AS (
      DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${table}
        WHERE worker_id = $1 AND ${condition}
          AND ${time} < clock_timestamp() - $2::float8 * interval '1 millisecond'
        ORDER BY ${time} LIMIT $3::int))
      RETURNING 1
    ) SELECT count(*)::text AS answer FROM gone`;

const expiring = {
  inbox: { horizon: 'inboxMs', sql: deletion('processed_events', 'processed_at') },
  scheduled: {
    horizon: 'finishedMs',
    sql: deletion('scheduled_events', 'finished_at', `state IN ('DONE', 'SKIPPED', 'DISCARDED')`),
  },
  deadLetters: {
    horizon: 'finishedMs',
    sql: deletion('dead_letter_events', 'decided_at', `state IN ('DONE', 'DISCARDED')`),
  },
} as const;

/** The passes of a running consumer. */
export interface Retention {
  start(): void;
  /** Lets the delete in hand be finished. Final. */
  stop(): Promise<void>;
}

/** Deletes what has expired now and then, for as long as the consumer runs; never throws. */
export function createRetention<Tx extends ConsumerTransaction>(
  deps: {
    readonly transaction: RunTransaction<Tx>;
    readonly logger: Logger;
    readonly consumerName: string;
    readonly source: RecordSource;
  },
  settings: Required<RetentionOptions>,
): Retention {
  const { transaction, logger, consumerName, source } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> | undefined;

  async function passes(): Promise<void> {
    await warnOfHorizon();
    while (!signal.aborted) {
      try {
        const pass = await deleteExpired({ transaction, signal }, { consumerName, ...settings });
        logger.debug({ consumerName, ...pass }, 'expired rows deleted');
      } catch (error) {
        const level = isTransient(error) ? 'debug' : 'error';
        logger[level]({ consumerName, err: asError(error) }, 'expired rows cannot be deleted for now');
      }
      await sleep(settings.intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Once, where the source can tell: what a topic still holds may be delivered again at any time. */
  async function warnOfHorizon(): Promise<void> {
    const { inboxMs } = settings;
    try {
      const topicMs = await source.topicRetentionMs?.();
      if (topicMs === undefined || topicMs < inboxMs) return;
      logger.warn(
        { consumerName, topics: source.topics, inboxMs, topicRetentionMs: topicMs },
        'the inbox forgets events that the topic still holds: if they are delivered again, they are handled again',
      );
    } catch (error) {
      logger.debug({ consumerName, err: asError(error) }, 'the retention of the topics is not known');
    }
  }

  return {
    start() {
      running ??= passes();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
