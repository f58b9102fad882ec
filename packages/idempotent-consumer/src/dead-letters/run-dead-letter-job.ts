import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { asAnswer, askRows } from '../ask.ts';
import { ConsumerError } from '../errors.ts';
import { placeOffsetSql } from '../migrations/0003-dead-letter-decisions.ts';
import type { ConsumerTransaction, RunTransaction } from '../transaction.ts';
import { type DeadLetterJob, oneJob, showDeadLetterJob } from './dead-letter-jobs.ts';
import {
  type DeadLetterSelection,
  placeholders,
  selectedFrom,
  selectionSql,
} from './dead-letter-selection.ts';
import { decideDeadLetters } from './decide-dead-letters.ts';

/** How a job is run. */
export interface RunJobOptions {
  /** Ends the run after the batch in hand; the job can be gone on with. */
  readonly signal?: AbortSignal;
  /** Told of the job after each batch, and while it waits for another process that runs it. */
  readonly onProgress?: (job: DeadLetterJob) => void;
  /** Shown as the job's runner; made up unless given. */
  readonly runner?: string;
  /** Letters per transaction, at most; 100. */
  readonly batchMax?: number;
  /** So long after its last batch a process counts as dead, and another takes over; 10 s. */
  readonly leaseMs?: number;
}

/**
 * Runs a job, or goes on with one that another process has left off, until it is finished, cancelled, or `signal`
 * aborts. While another process runs it, it waits. Each batch is one transaction, together with how far the job has come.
 * @returns the job as it then is
 * @throws ConsumerError `CONSUMER_JOB_UNKNOWN`
 */
export async function runDeadLetterJob<Tx extends ConsumerTransaction>(
  transaction: RunTransaction<Tx>,
  id: string,
  options: RunJobOptions = {},
): Promise<DeadLetterJob> {
  const { signal, onProgress, runner = randomUUID(), batchMax = 100, leaseMs = 10_000 } = options;
  const untimed = { signal: new AbortController().signal };
  const { ratePerSecond } = await transaction((tx) => knownJob(tx, id), untimed);
  const countMax = Math.min(batchMax, Math.max(1, Math.floor(ratePerSecond ?? batchMax)));
  const pauseMs = ratePerSecond === null ? 0 : (countMax / ratePerSecond) * 1000;
  const batch = { runner, countMax, leaseMs: leaseMs + pauseMs };
  for (;;) {
    const { job, isMine } = await transaction((tx) => runBatch(tx, id, batch), untimed);
    onProgress?.(job);
    if (job.state !== 'RUNNING') return job;
    await sleep(isMine ? pauseMs : leasedPollMs, undefined, signal && { signal }).catch(() => undefined);
    if (signal?.aborted) return isMine ? transaction((tx) => leaveJob(tx, id, runner), untimed) : job;
  }
}

const leasedPollMs = 500;

interface Batch {
  readonly job: DeadLetterJob;
  readonly isMine: boolean;
}

/** One bounded batch. The job's row is locked throughout, so that two runners never decide about the same letters. */
async function runBatch(
  tx: ConsumerTransaction,
  id: string,
  { runner, countMax, leaseMs }: { runner: string; countMax: number; leaseMs: number },
): Promise<Batch> {
  const mine = await oneJob(
    tx,
    `UPDATE consumer_replays j
     SET lease_owner = $2, lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
     WHERE j.id = $1::bigint AND j.state = 'RUNNING'
       AND (j.lease_owner = $2 OR coalesce(j.lease_until, '-infinity') < clock_timestamp())
     RETURNING j.*`,
    [id, runner, leaseMs],
  );
  if (mine === undefined) return { job: await knownJob(tx, id), isMine: false };
  const letters = await nextLetters(tx, mine, countMax);
  const ids = letters.map((letter) => letter.id);
  const by = { actor: mine.actor, reason: mine.reason, jobId: id };
  const decisions = await decideDeadLetters(tx, ids, mine.action, by);
  const refused = decisions.filter((decision) => decision.outcome === 'refused');
  const failure = refused.at(-1);
  const isEnd = letters.length < countMax;
  const job = await oneJob(
    tx,
    `UPDATE consumer_replays j SET done = j.done + $2, failed = j.failed + $3,
       last_failure = coalesce($4, j.last_failure), cursor = coalesce($5::jsonb, j.cursor),
       state = CASE WHEN $6::boolean THEN 'DONE' ELSE j.state END,
       finished_at = CASE WHEN $6::boolean THEN clock_timestamp() END,
       lease_until = CASE WHEN $6::boolean THEN NULL ELSE j.lease_until END
     WHERE j.id = $1::bigint RETURNING j.*`,
    [
      id,
      decisions.length - refused.length,
      refused.length,
      failure === undefined ? null : `${failure.id}: ${failure.hint}`,
      letters.at(-1)?.place ?? null,
      isEnd,
    ],
  );
  return { job: job ?? mine, isMine: true };
}

/** The letters that come next, in the order of their records; those that failed since the job was made are not its. */
async function nextLetters(
  tx: ConsumerTransaction,
  { id, filter }: DeadLetterJob,
  countMax: number,
): Promise<{ readonly id: string; readonly place: string }[]> {
  const { from, to, ...texts } = filter;
  const selection: DeadLetterSelection = {
    ...texts,
    ...(from === undefined ? {} : { from: new Date(from) }),
    ...(to === undefined ? {} : { to: new Date(to) }),
  };
  const parameters = placeholders();
  const where = selectionSql({ ...selection, state: 'DEAD' }, parameters);
  const offset = placeOffsetSql('d');
  const job = `(SELECT * FROM consumer_replays WHERE id = ${parameters.of(id)}::bigint)`;
  return askRows(
    tx,
    asAnswer(`
      SELECT d.id, jsonb_build_array(d.topic, d."partition", ${offset}::text, d.id)::text AS place
      FROM ${job} j, ${selectedFrom}
      WHERE ${where} AND d.topic IS NOT NULL AND d.failed_at <= j.created_at
        AND (j.cursor IS NULL OR (d.topic, d."partition", ${offset}, d.id)
          > (j.cursor ->> 0, (j.cursor ->> 1)::int, (j.cursor ->> 2)::bigint, (j.cursor ->> 3)::uuid))
      ORDER BY d.topic, d."partition", ${offset}, d.id LIMIT ${parameters.of(countMax)}`),
    parameters.values,
  );
}

/** The next runner need not wait for the lease to end. */
async function leaveJob(tx: ConsumerTransaction, id: string, runner: string): Promise<DeadLetterJob> {
  const job = await oneJob(
    tx,
    `UPDATE consumer_replays j SET lease_owner = NULL, lease_until = NULL
     WHERE j.id = $1::bigint AND j.lease_owner = $2 RETURNING j.*`,
    [id, runner],
  );
  return job ?? knownJob(tx, id);
}

async function knownJob(tx: ConsumerTransaction, id: string): Promise<DeadLetterJob> {
  const job = await showDeadLetterJob(tx, id);
  if (job === undefined) throw new ConsumerError('CONSUMER_JOB_UNKNOWN', `there is no job ${id}`);
  return job;
}
