import { ConsumerError } from '../errors.ts';
import { givenKey } from '../intake/sort-records.ts';

/**
 * What has become of a dead letter: it waits for a decision, is being tried again, was handled after all, or was given
 * up for good.
 */
export type DeadLetterState = 'DEAD' | 'DUE' | 'DONE' | 'DISCARDED';

const states: readonly string[] = ['DEAD', 'DUE', 'DONE', 'DISCARDED'] satisfies DeadLetterState[];

/** Which dead letters; what is left out does not matter. */
export interface DeadLetterSelection {
  readonly consumerName?: string;
  readonly topic?: string;
  /** Part of the reason, in any case. */
  readonly reason?: string;
  /** Failed at or after this. */
  readonly from?: Date;
  /** Failed before this. */
  readonly to?: Date;
  /** As the consumer's `orderingKey` gives it, else the record's key. */
  readonly orderingKey?: string;
}

/** Values of a statement, and where each stands in it. */
export interface Placeholders {
  readonly values: unknown[];
  /** Adds a value. @returns its placeholder */
  of(value: unknown): string;
}

export function placeholders(): Placeholders {
  const values: unknown[] = [];
  return { values, of: (value) => `$${values.push(value)}` };
}

/**
 * SQL of a selection: a condition on `d` (`dead_letter_events`) and `s`, its row in `scheduled_events` if it has one.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export function selectionSql(
  selection: DeadLetterSelection & { readonly state?: DeadLetterState },
  { of }: Placeholders,
): string {
  const { consumerName, topic, reason, from, to, orderingKey, state } = selection;
  if (state !== undefined && !states.includes(state))
    throw new ConsumerError('CONSUMER_OPTION_INVALID', `state is none of ${states.join(', ')}`);
  const conditions = [
    // Written out, so that PostgreSQL sees that the partial index fits.
    state === undefined ? undefined : `d.state = '${state}'`,
    consumerName === undefined ? undefined : `d.worker_id = ${of(consumerName)}`,
    topic === undefined ? undefined : `d.topic = ${of(topic)}`,
    reason === undefined ? undefined : `position(lower(${of(reason)}) IN lower(d.reason)) > 0`,
    from === undefined ? undefined : `d.failed_at >= ${of(instant('from', from))}::timestamptz`,
    to === undefined ? undefined : `d.failed_at < ${of(instant('to', to))}::timestamptz`,
    orderingKey === undefined ? undefined : keySql(orderingKey, of),
  ];
  return conditions.filter((condition) => condition !== undefined).join(' AND ') || 'true';
}

/** The statement's `FROM` that {@link selectionSql} speaks of. */
export const selectedFrom = 'dead_letter_events d LEFT JOIN scheduled_events s ON s.seq = d.scheduled_seq';

/** A letter that was never scheduled is known by its record's key only. */
function keySql(orderingKey: string, of: Placeholders['of']): string {
  const keys = [orderingKey, givenKey(orderingKey)];
  return `(s.ordering_key = ANY (${of(keys)}::text[])
    OR s.seq IS NULL AND d.key = ${of(Buffer.from(orderingKey))}::bytea)`;
}

function instant(name: string, date: Date): string {
  if (!Number.isNaN(date.getTime())) return date.toISOString();
  throw new ConsumerError('CONSUMER_OPTION_INVALID', `${name} is not a time`);
}
