import { listDeadLetters, type OutboxDeadLetter, redrive, skip } from '@orders/outbox';
import { withDatabase } from './database-commands.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

const lineOf = (one: OutboxDeadLetter): string =>
  `${one.id} ${one.state} ${one.aggregateType} ${one.orderingKey} (${one.type} to ${one.topic}): ${one.reason}`;

/** Said when it has done its work, so that an error stands alone. */
const moved = (output: Output, from: string, to: string) =>
  output.err(
    `note: \`ordersctl relay ${from}\` goes away with the next version: use \`ordersctl dead-letters ${to}\`\n`,
  );

/** `ordersctl relay dead-letters` */
export async function showDeadLetters(output: Output, options: CommonOptions): Promise<void> {
  const deadLetters = await withDatabase(({ pool }) => listDeadLetters(pool));
  answer(output, options, { deadLetters }, deadLetters.length > 0 ? deadLetters.map(lineOf) : ['none']);
  moved(output, 'dead-letters', 'list --of outbox');
}

/** `ordersctl relay redrive` */
export async function redriveDeadLetter(
  output: Output,
  options: CommonOptions & { id: number; reason?: string },
): Promise<void> {
  const { id, reason = 'ordersctl' } = options;
  const deadLetters = await withDatabase(({ pool }) => redrive(pool, { id }, { reason }));
  answer(output, options, { deadLetters }, deadLetters.map(lineOf));
  moved(output, 'redrive', `replay --id ${id} --reason TEXT`);
}

/** `ordersctl relay skip` */
export async function skipDeadLetter(
  output: Output,
  options: CommonOptions & { id: number; reason: string },
): Promise<void> {
  const deadLetter = await withDatabase(({ pool }) => skip(pool, options.id, options.reason));
  answer(output, options, { deadLetters: [deadLetter] }, [lineOf(deadLetter)]);
  moved(output, 'skip', `discard --id ${options.id} --reason TEXT`);
}
