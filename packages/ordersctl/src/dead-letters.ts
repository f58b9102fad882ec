import { type DatabaseHandle, inTransaction } from '@orders/db';
import { type DeadLetterState, listDeadLetters, showDeadLetter } from '@orders/idempotent-consumer';
import { listDeadLetters as listOutbox, type OutboxDeadLetter } from '@orders/outbox';
import { withDatabase } from './database-commands.ts';
import { type DeadLetter, detailsOf, lineOf, ofConsumer, ofOutbox, outbox } from './dead-letter.ts';
import { consumerSelection, type LetterId, type SelectionOptions } from './dead-letter-options.ts';
import { OrdersctlError } from './errors.ts';
import { fitting } from './outbox-letters.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

interface ListOptions extends SelectionOptions {
  readonly state: string;
  readonly limit: number;
  readonly after?: string;
}

interface Page {
  readonly deadLetters: readonly DeadLetter[];
  /** For `--after`; null on the last page. */
  readonly next: string | null;
}

/** `ordersctl dead-letters list` */
export async function listLetters(output: Output, options: ListOptions): Promise<void> {
  const page = await withDatabase((database) => pageOf(database, options));
  const lines = page.deadLetters.length === 0 ? ['none'] : page.deadLetters.map(lineOf);
  answer(output, options, page, [...lines, ...(page.next === null ? [] : [`more: --after ${page.next}`])]);
}

/** The outbox's come first, then the consumers'; a cursor says in which of them the next page begins. */
async function pageOf(database: DatabaseHandle, options: ListOptions): Promise<Page> {
  const { of, limit, after = '' } = options;
  const [where = '', cursor = ''] = after.split(/:(.*)/, 2);
  const wantsOutbox = (of ?? outbox) === outbox && where !== 'consumer' && isOpen(options.state);
  const first = wantsOutbox ? await outboxPage(database, options, Number(cursor) || 0) : [];
  if (first.length > limit || of === outbox) return pageFrom(first, limit);
  const left = limit - first.length;
  const rest = await consumerPage(database, options, Math.max(1, left), where === 'consumer' ? cursor : '');
  if (left === 0) return { deadLetters: first, next: rest.deadLetters.length === 0 ? null : 'consumer:' };
  return {
    deadLetters: [...first, ...rest.deadLetters.map(ofConsumer)],
    next: rest.next === null ? null : `consumer:${rest.next}`,
  };
}

const isOpen = (state: string): boolean => /^(dead|all)$/i.test(state);

const pageFrom = (letters: readonly DeadLetter[], limit: number): Page => {
  const deadLetters = letters.slice(0, limit);
  return { deadLetters, next: letters.length > limit ? `outbox:${deadLetters.at(-1)?.id}` : null };
};

/** One more than the page holds, if there are so many. */
async function outboxPage({ pool }: DatabaseHandle, options: ListOptions, after: number) {
  const letters: OutboxDeadLetter[] = [];
  for await (const letter of fitting(pool, options, after)) {
    letters.push(letter);
    if (letters.length > options.limit) break;
  }
  return letters.map(ofOutbox);
}

function consumerPage({ db }: DatabaseHandle, options: ListOptions, limit: number, cursor: string) {
  const { of, state, ...selection } = options;
  return inTransaction(db, (tx) =>
    listDeadLetters(tx, {
      ...consumerSelection(selection),
      ...(of === undefined ? {} : { consumerName: of }),
      state: state.toUpperCase() as DeadLetterState | 'ALL',
      limit,
      ...(cursor === '' ? {} : { after: cursor }),
    }),
  );
}

/** `ordersctl dead-letters show` */
export async function showLetter(output: Output, options: CommonOptions & { id: LetterId }): Promise<void> {
  const { id } = options;
  const found = await withDatabase(async ({ db, pool }) => {
    if ('consumer' in id) {
      const letter = await inTransaction(db, (tx) => showDeadLetter(tx, id.consumer));
      return letter && detailsOf(letter);
    }
    const [letter] = await listOutbox(pool, { after: id.outbox - 1, limit: 1 });
    return letter?.id === id.outbox
      ? { ...ofOutbox(letter), type: letter.type, history: letter.history }
      : undefined;
  });
  if (found === undefined) {
    const message =
      'outbox' in id ? 'no such dead letter of the outbox waits for a decision' : 'no such dead letter';
    throw new OrdersctlError('ORDERSCTL_DEAD_LETTER_UNKNOWN', message);
  }
  answer(output, options, { deadLetter: found }, linesOf(found));
}

/** Field by field; what is nested, as JSON. */
const linesOf = (found: object): string[] =>
  Object.entries(found).flatMap(([name, value]) => {
    if (value === null || value === undefined) return [];
    if (value instanceof Date) return [`${name}: ${value.toISOString()}`];
    if (Array.isArray(value)) return [`${name}:`, ...value.map((one) => `  ${JSON.stringify(one)}`)];
    if (typeof value !== 'object') return [`${name}: ${value}`];
    return [`${name}:`, ...Object.entries(value).map(([inner, one]) => `  ${inner}: ${JSON.stringify(one)}`)];
  });
