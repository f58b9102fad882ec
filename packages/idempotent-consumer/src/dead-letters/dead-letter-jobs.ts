import { asAnswer, ask, askRows } from '../ask.ts';
import { ConsumerError } from '../errors.ts';
import { type AuditedBy, audit } from '../operation/control.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import {
  type DeadLetterSelection,
  placeholders,
  selectedFrom,
  selectionSql,
} from './dead-letter-selection.ts';
import type { DeadLetterAction } from './decide-dead-letters.ts';

/** Dead letters of one consumer, to be replayed or discarded by a job. */
export type JobSelection = DeadLetterSelection & { readonly consumerName: string };

/** A job that replays or discards many dead letters, as its row in `consumer_replays` says. */
export interface DeadLetterJob {
  /** Decimal. */
  readonly id: string;
  readonly consumerName: string;
  readonly action: DeadLetterAction;
  /** The selection, times in ISO 8601. */
  readonly filter: Readonly<Record<string, string>>;
  readonly state: 'RUNNING' | 'DONE' | 'CANCELLED';
  /** Letters that it found when it was made. */
  readonly total: number;
  /** Letters that it has replayed or discarded. */
  readonly done: number;
  /** Letters that could not be: their bytes were cut, or somebody else was quicker. */
  readonly failed: number;
  readonly lastFailure: string | null;
  readonly ratePerSecond: number | null;
  readonly actor: string;
  readonly reason: string;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  /** Who runs it; null when nobody does, so that whoever comes takes it over. */
  readonly runner: string | null;
}

/** What a job would find: a dry run. */
export interface DeadLetterPreview {
  /** Letters that would be replayed or discarded. */
  readonly total: number;
  /** Of these, letters that cannot be replayed since their bytes were cut. */
  readonly cut: number;
  /** Letters that fit and are no records; a job leaves them out. */
  readonly withoutRecord: number;
  readonly oldest: Date | null;
  readonly newest: Date | null;
}

/** Looks at what {@link replayDeadLetters} or {@link discardDeadLetters} would find, and changes nothing. */
export async function previewDeadLetters(
  tx: ConsumerTransaction,
  selection: JobSelection,
): Promise<DeadLetterPreview> {
  const parameters = placeholders();
  const where = selectionSql({ ...selection, state: 'DEAD' }, parameters);
  const found = (await ask(
    tx,
    `SELECT json_build_object('total', count(d.topic), 'withoutRecord', count(*) - count(d.topic),
       'cut', count(*) FILTER (WHERE s.seq IS NULL AND octet_length(d.value) < d.value_bytes),
       'oldest', min(d.failed_at), 'newest', max(d.failed_at))::text AS answer
     FROM ${selectedFrom} WHERE ${where}`,
    parameters.values,
  )) as { total: number; withoutRecord: number; cut: number; oldest: string | null; newest: string | null };
  return { ...found, oldest: timeOf(found.oldest), newest: timeOf(found.newest) };
}

/** Options of a job; `reason` is kept with everything that it does. */
export type JobOptions = AuditedBy & {
  /** Letters per second, at most; as fast as it goes unless given. */
  readonly ratePerSecond?: number | undefined;
};

/**
 * Makes a job that replays the dead letters which fit, in the order of their records: their stored rows are due again,
 * and the consumer tries them, those of a key in order. {@link runDeadLetterJob} runs it. Letters that fail after it was
 * made, those that it has replayed itself among them, are not its business. Audited.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export const replayDeadLetters = (
  tx: ConsumerTransaction,
  selection: JobSelection,
  options: JobOptions,
): Promise<DeadLetterJob> => createJob(tx, 'REPLAY', selection, options);

/**
 * Makes a job that gives the dead letters which fit up for good; what waits behind them goes on. Audited.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export const discardDeadLetters = (
  tx: ConsumerTransaction,
  selection: JobSelection,
  options: JobOptions,
): Promise<DeadLetterJob> => createJob(tx, 'DISCARD', selection, options);

async function createJob(
  tx: ConsumerTransaction,
  action: DeadLetterAction,
  selection: JobSelection,
  { actor, reason, ratePerSecond }: JobOptions,
): Promise<DeadLetterJob> {
  assertReason(reason);
  if (ratePerSecond !== undefined && !(ratePerSecond > 0 && Number.isFinite(ratePerSecond)))
    throw new ConsumerError('CONSUMER_OPTION_INVALID', 'ratePerSecond is not positive');
  const { total } = await previewDeadLetters(tx, selection);
  const { consumerName } = selection;
  const job = await oneJob(
    tx,
    `INSERT INTO consumer_replays AS j (worker_id, action, filter, total, rate_per_second, actor, reason)
     VALUES ($1, $2, $3::jsonb, $4, $5, $6, $7) RETURNING j.*`,
    [consumerName, action, JSON.stringify(selection), total, ratePerSecond ?? null, actor, reason],
  );
  const detail = { jobId: job?.id, filter: selection, total };
  await audit(tx, consumerName, `${action.toLowerCase()}-job`, { actor, reason }, detail);
  return job as DeadLetterJob;
}

/** @throws ConsumerError `CONSUMER_OPTION_INVALID` */
export function assertReason(reason: string): void {
  if (reason.trim() === '')
    throw new ConsumerError('CONSUMER_OPTION_INVALID', 'a reason is needed, for those who ask later');
}

/** The newest jobs first; 100 unless told, those that are not finished only with `isRunning`. */
export function listDeadLetterJobs(
  tx: ConsumerTransaction,
  options: { readonly isRunning?: boolean; readonly limit?: number } = {},
): Promise<DeadLetterJob[]> {
  const where = options.isRunning === true ? `WHERE j.state = 'RUNNING'` : '';
  return askJobs(tx, `SELECT * FROM consumer_replays j ${where} ORDER BY j.id DESC LIMIT $1`, [
    options.limit ?? 100,
  ]);
}

/** @returns undefined if there is none */
export const showDeadLetterJob = (tx: ConsumerTransaction, id: string): Promise<DeadLetterJob | undefined> =>
  oneJob(tx, 'SELECT * FROM consumer_replays j WHERE j.id = $1::bigint', [id]);

/**
 * Ends a job for good; what it has done stays done. Waits for the batch in hand. Audited.
 * @returns the job as it now is, unchanged if it had ended; undefined if there is none
 */
export async function cancelDeadLetterJob(
  tx: ConsumerTransaction,
  id: string,
  by: AuditedBy,
): Promise<DeadLetterJob | undefined> {
  const cancelled = await oneJob(
    tx,
    `UPDATE consumer_replays j SET state = 'CANCELLED', finished_at = clock_timestamp(), lease_owner = NULL,
       lease_until = NULL
     WHERE j.id = $1::bigint AND j.state = 'RUNNING' RETURNING j.*`,
    [id],
  );
  if (cancelled === undefined) return showDeadLetterJob(tx, id);
  await audit(tx, cancelled.consumerName, 'cancel-job', by, { jobId: id });
  return cancelled;
}

/** Runs a statement that gives rows of `consumer_replays`. */
export async function askJobs(
  tx: ConsumerTransaction,
  sql: string,
  values: readonly unknown[],
): Promise<DeadLetterJob[]> {
  const isQuery = sql.startsWith('SELECT');
  const jobs =
    asAnswer(`SELECT id::text, worker_id AS "consumerName", action, filter, state, total, done, failed,
      last_failure AS "lastFailure", rate_per_second AS "ratePerSecond", actor, reason, created_at AS "createdAt",
      finished_at AS "finishedAt", CASE WHEN lease_until > clock_timestamp() THEN lease_owner END AS runner
    FROM ${isQuery ? `(${sql}) AS jobs` : 'jobs'}`);
  const rows = await askRows<JobRow>(tx, isQuery ? jobs : `WITH jobs AS (${sql}) ${jobs}`, values);
  return rows.map((row) => ({
    ...row,
    createdAt: new Date(row.createdAt),
    finishedAt: timeOf(row.finishedAt),
  }));
}

export async function oneJob(
  tx: ConsumerTransaction,
  sql: string,
  values: readonly unknown[],
): Promise<DeadLetterJob | undefined> {
  return (await askJobs(tx, sql, values))[0];
}

type JobRow = Omit<DeadLetterJob, 'createdAt' | 'finishedAt'> & {
  readonly createdAt: string;
  readonly finishedAt: string | null;
};

const timeOf = (text: string | null): Date | null => (text === null ? null : new Date(text));
