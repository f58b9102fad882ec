import { type DatabaseHandle, inTransaction } from '@orders/db';
import {
  discardDeadLetter,
  discardDeadLetters,
  type JobSelection,
  previewDeadLetters,
  replayDeadLetter,
  replayDeadLetters,
} from '@orders/idempotent-consumer';
import { withDatabase } from './database-commands.ts';
import { outbox } from './dead-letter.ts';
import { runJob } from './dead-letter-jobs.ts';
import {
  consumerSelection,
  type DeciderOptions,
  type LetterId,
  reasonOf,
  type SelectionOptions,
} from './dead-letter-options.ts';
import { OrdersctlError } from './errors.ts';
import { interruptible } from './interruptible.ts';
import { operatorName } from './operator.ts';
import { decideOutboxLetter, decideOutboxLetters, fitting } from './outbox-letters.ts';
import { answer, type Output } from './output.ts';

export interface DecideOptions extends SelectionOptions, DeciderOptions {
  readonly id?: LetterId;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly rate?: number;
}

export type Action = 'REPLAY' | 'DISCARD';

const done = { REPLAY: 'replayed', DISCARD: 'discarded' } as const;

/** The letters that payments writes: they are no records, and only payments knows how to go on with one. */
const paymentExecutor = 'payment-executor';
const paymentHint =
  'a payment’s dead letter is not replayed or discarded here: payments will have commands of their own for that';

/** `ordersctl dead-letters replay`, `ordersctl dead-letters discard` */
export async function decideLetters(output: Output, action: Action, options: DecideOptions): Promise<void> {
  assertOneMeaning(options);
  if (options.of === paymentExecutor) throw refused(paymentHint);
  if (options.dryRun !== true) reasonOf(options);
  await withDatabase(async (database) => {
    if (options.dryRun === true) return preview(output, database, action, options);
    const by = { actor: await operatorName(options.by, database), reason: reasonOf(options) };
    if (options.id !== undefined) return decideOne(output, database, action, options, { id: options.id, by });
    if (options.of === outbox) return decideOutbox(output, database, action, options, by);
    const selection = selectionOf(options);
    const create = action === 'REPLAY' ? replayDeadLetters : discardDeadLetters;
    const job = await inTransaction(database.db, (tx) =>
      create(tx, selection, { ...by, ratePerSecond: options.rate }),
    );
    await runJob(output, database, options, job.id);
  });
}

const selectors = ['topic', 'failedWith', 'from', 'to', 'key'] as const;

/** Nobody means all by leaving something out. */
function assertOneMeaning(options: DecideOptions): void {
  const usage = (message: string) => new OrdersctlError('ORDERSCTL_USAGE', message);
  const given = selectors.filter((name) => options[name] !== undefined);
  if (options.id !== undefined) {
    if (given.length > 0 || options.all === true) throw usage('--id is one dead letter: say nothing else');
    return;
  }
  if (options.of === undefined) throw usage('say --id, or --of and which');
  if (given.length === 0 && options.all !== true) throw usage('say which, or --all');
}

const selectionOf = (options: DecideOptions): JobSelection => ({
  ...consumerSelection(options),
  consumerName: options.of ?? '',
});

async function preview(
  output: Output,
  { db, pool }: DatabaseHandle,
  action: Action,
  options: DecideOptions,
): Promise<void> {
  const word = done[action];
  if (options.id !== undefined)
    throw new OrdersctlError('ORDERSCTL_USAGE', 'a dry run is of many; see `show --id`');
  if (options.of === outbox) {
    let total = 0;
    for await (const _ of fitting(pool, options)) total++;
    return answer(output, options, { dryRun: true, total }, [
      `${total} would be ${word}; nothing was changed`,
    ]);
  }
  const found = await inTransaction(db, (tx) => previewDeadLetters(tx, selectionOf(options)));
  const { total, cut, withoutRecord } = found;
  answer(output, options, { dryRun: true, ...found }, [
    `${total} would be ${word}; nothing was changed`,
    ...(cut > 0 && action === 'REPLAY' ? [`of these ${cut} cannot be: their bytes were cut`] : []),
    ...(withoutRecord > 0 ? [`left out, since they are no records: ${withoutRecord}`] : []),
  ]);
}

async function decideOne(
  output: Output,
  { db, pool }: DatabaseHandle,
  action: Action,
  options: DecideOptions,
  { id, by }: { id: LetterId; by: { actor: string; reason: string } },
): Promise<void> {
  const word = done[action];
  if ('outbox' in id) {
    await decideOutboxLetter(pool, id.outbox, { action, reason: by.reason, by: by.actor });
    return answer(output, options, { of: outbox, id: String(id.outbox), outcome: word }, [word]);
  }
  const decide = action === 'REPLAY' ? replayDeadLetter : discardDeadLetter;
  const decision = await inTransaction(db, (tx) => decide(tx, id.consumer, by));
  if (decision.outcome === 'refused')
    throw refused(decision.hint.includes(paymentExecutor) ? paymentHint : decision.hint);
  answer(output, options, decision, [word]);
}

async function decideOutbox(
  output: Output,
  { pool }: DatabaseHandle,
  action: Action,
  options: DecideOptions,
  { actor, reason }: { actor: string; reason: string },
): Promise<void> {
  const word = done[action];
  const onProgress = (count: number) => {
    if (!options.json && count % 100 === 0) output.err(`${count} ${word}\n`);
  };
  const { isOver: _, ...counts } = await interruptible(output, 'the same command goes on', (signal) =>
    decideOutboxLetters(
      pool,
      options,
      { action, reason, by: actor },
      { rate: options.rate, signal, onProgress },
    ),
  );
  answer(output, options, { of: outbox, ...counts }, [
    `${counts.done} ${word}${counts.failed > 0 ? `, ${counts.failed} were decided by somebody else` : ''}`,
  ]);
}

const refused = (hint: string) => new OrdersctlError('ORDERSCTL_DEAD_LETTER_REFUSED', hint);
