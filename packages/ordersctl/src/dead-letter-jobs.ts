import { type DatabaseHandle, inTransaction, type Tx } from '@orders/db';
import {
  cancelDeadLetterJob,
  type DeadLetterJob,
  listDeadLetterJobs,
  runDeadLetterJob,
} from '@orders/idempotent-consumer';
import { withDatabase } from './database-commands.ts';
import { type DeciderOptions, reasonOf } from './dead-letter-options.ts';
import { OrdersctlError } from './errors.ts';
import { interruptible } from './interruptible.ts';
import { operatorName } from './operator.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

/** `ordersctl dead-letters jobs list` */
export async function listJobs(
  output: Output,
  options: CommonOptions & { running?: boolean },
): Promise<void> {
  const isRunning = options.running === true;
  const jobs = await withDatabase(({ db }) =>
    inTransaction(db, (tx) => listDeadLetterJobs(tx, { isRunning })),
  );
  answer(output, options, { jobs }, jobs.length === 0 ? ['none'] : jobs.map(lineOf));
}

/** `ordersctl dead-letters jobs resume` */
export async function resumeJob(output: Output, options: CommonOptions & { id: string }): Promise<void> {
  await withDatabase((database) => runJob(output, database, options, options.id));
}

/** `ordersctl dead-letters jobs cancel` */
export async function cancelJob(
  output: Output,
  options: CommonOptions & DeciderOptions & { id: string },
): Promise<void> {
  const reason = reasonOf(options);
  const job = await withDatabase(async (database) => {
    const actor = await operatorName(options.by, database);
    return inTransaction(database.db, (tx) => cancelDeadLetterJob(tx, options.id, { actor, reason }));
  });
  if (job === undefined) throw new OrdersctlError('ORDERSCTL_JOB_UNKNOWN', `there is no job ${options.id}`);
  answer(output, options, { job }, [lineOf(job)]);
}

/** Runs a job to its end, with its progress on standard error. */
export async function runJob(
  output: Output,
  { db }: DatabaseHandle,
  options: CommonOptions,
  id: string,
): Promise<void> {
  const again = `\`ordersctl dead-letters jobs resume --id ${id}\` goes on with it`;
  const transaction = <R>(work: (tx: Tx) => Promise<R>) => inTransaction(db, work);
  const tell = progressTeller((line) => options.json || output.err(`${line}\n`), again);
  const { job } = await interruptible(output, again, async (signal) => {
    const runner = `ordersctl ${process.pid}`;
    const ended = await runDeadLetterJob(transaction, id, { signal, runner, onProgress: tell });
    return { job: ended, isOver: ended.state !== 'RUNNING' };
  });
  answer(output, options, { job }, [
    lineOf(job),
    ...(job.lastFailure === null ? [] : [`last failure: ${job.lastFailure}`]),
  ]);
}

const tellEveryMs = 1_000;

/** At first how to go on should it be interrupted, then now and then how far it is. */
function progressTeller(tell: (line: string) => unknown, again: string) {
  let toldMs = Number.NEGATIVE_INFINITY;
  return (job: DeadLetterJob) => {
    const isFirst = toldMs === Number.NEGATIVE_INFINITY;
    if (performance.now() - toldMs < tellEveryMs) return;
    toldMs = performance.now();
    tell(lineOf(job));
    if (isFirst && job.state === 'RUNNING') tell(`if it is interrupted, ${again}`);
  };
}

function lineOf(job: DeadLetterJob): string {
  const { id, state, action, consumerName, done, failed, total, actor, reason, runner } = job;
  const word = action === 'REPLAY' ? 'replayed' : 'discarded';
  const how = state === 'RUNNING' ? (runner === null ? 'left off' : `run by ${runner}`) : state.toLowerCase();
  return `job ${id} of ${consumerName}: ${done} of ${total} ${word}, ${failed} failed; ${how}; ${actor}: ${reason}`;
}
