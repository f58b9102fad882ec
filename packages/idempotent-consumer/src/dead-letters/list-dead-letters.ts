import { asAnswer, askRows } from '../ask.ts';
import { ConsumerError } from '../errors.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import {
  type DeadLetterSelection,
  type DeadLetterState,
  placeholders,
  selectedFrom,
  selectionSql,
} from './dead-letter-selection.ts';

/** A dead letter without its bytes. */
export interface ListedDeadLetter {
  readonly id: string;
  readonly consumerName: string;
  readonly state: DeadLetterState;
  /** Where its record stands, or stood before another came to stand there; null when it was not a record. */
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  readonly eventId: string | null;
  /** As it is stored: `key:…`, `hash:…` or `event:…`; null for a letter that was never scheduled. */
  readonly orderingKey: string | null;
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: Date;
  /** When it was replayed, discarded or handled; null while nobody has decided. */
  readonly decidedAt: Date | null;
}

/** One page. */
export interface DeadLetterPage {
  readonly deadLetters: readonly ListedDeadLetter[];
  /** For `after`, to have the next page; null on the last one. */
  readonly next: string | null;
}

const listMax = 1_000;

/**
 * Dead letters in the order in which they failed, the oldest first; those that wait for a decision unless a `state` is
 * given, of every state with `'ALL'`. The next page begins behind the last letter of this one, whatever is added or
 * decided meanwhile.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export async function listDeadLetters(
  tx: ConsumerTransaction,
  options: DeadLetterSelection & {
    readonly state?: DeadLetterState | 'ALL';
    /** 100, and 1,000 at most. */
    readonly limit?: number;
    /** `next` of the page before. */
    readonly after?: string | undefined;
  } = {},
): Promise<DeadLetterPage> {
  const { state = 'DEAD', limit = 100, after, ...selection } = options;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > listMax)
    throw new ConsumerError('CONSUMER_OPTION_INVALID', `limit is not between 1 and ${listMax}`);
  const parameters = placeholders();
  const conditions = [selectionSql(state === 'ALL' ? selection : { ...selection, state }, parameters)];
  if (after !== undefined) {
    const [failedAt, id] = placeOf(after);
    conditions.push(
      `(d.failed_at, d.id) > (${parameters.of(failedAt)}::timestamptz, ${parameters.of(id)}::uuid)`,
    );
  }
  const rows = await askRows<ListedRow>(
    tx,
    asAnswer(`SELECT ${listedColumns} FROM ${selectedFrom} WHERE ${conditions.join(' AND ')}
      ORDER BY d.failed_at, d.id LIMIT ${parameters.of(limit + 1)}`),
    parameters.values,
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last !== undefined ? `${last.failed_at}_${last.id}` : null;
  return { deadLetters: page.map(listedOf), next };
}

/** To the microsecond: the cursor must name one row. */
const utcSql = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Columns of {@link ListedRow}, of `d` and `s`. */
export const listedColumns = `d.id, d.worker_id, d.state, d.topic, d."partition",
  coalesce(d."offset"::text, d.former_place ->> 'offset') AS "offset", d.event_id, s.ordering_key, d.reason, d.attempts,
  ${utcSql('d.failed_at')} AS failed_at, ${utcSql('d.decided_at')} AS decided_at`;

export interface ListedRow {
  readonly id: string;
  readonly worker_id: string;
  readonly state: DeadLetterState;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  readonly event_id: string | null;
  readonly ordering_key: string | null;
  readonly reason: string;
  readonly attempts: number;
  readonly failed_at: string;
  readonly decided_at: string | null;
}

export const listedOf = (row: ListedRow): ListedDeadLetter => ({
  id: row.id,
  consumerName: row.worker_id,
  state: row.state,
  topic: row.topic,
  partition: row.partition,
  offset: row.offset,
  eventId: row.event_id,
  orderingKey: row.ordering_key,
  reason: row.reason,
  attempts: row.attempts,
  failedAt: new Date(row.failed_at),
  decidedAt: row.decided_at === null ? null : new Date(row.decided_at),
});

const cursorPattern =
  /^(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

function placeOf(cursor: string): [string, string] {
  const [, failedAt, id] = cursorPattern.exec(cursor) ?? [];
  if (failedAt === undefined || id === undefined)
    throw new ConsumerError('CONSUMER_OPTION_INVALID', 'after is not the `next` of a page');
  return [failedAt, id];
}
