import {
  bool,
  type Connection,
  integer,
  json,
  type RowOf,
  readRows,
  secondsOf,
  text,
  time,
} from './answers.ts';
import { OutboxError } from './errors.ts';
import { outboxNames, wakeFor } from './postgres.ts';

/** An event that the broker will not take, and what was decided about it. */
export interface OutboxDeadLetter {
  readonly id: number;
  readonly eventId: string;
  readonly topic: string;
  readonly key: string;
  readonly type: string;
  readonly aggregateType: string;
  readonly orderingKey: string;
  readonly state: 'DEAD' | 'REDRIVEN' | 'SKIPPED';
  /** Whether its aggregate's later events wait for it. */
  readonly blocks: boolean;
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: Date;
  /** Earlier failures and decisions, oldest first. */
  readonly history: readonly { readonly at: string; readonly action: string; readonly reason: string }[];
}

/** Which dead letters: one, or all of an aggregate. */
export type DeadLetterTarget =
  | { readonly id: number }
  | { readonly aggregateType: string; readonly orderingKey: string };

/** Where the tables are. */
export interface DeadLetterOptions {
  readonly schema?: string;
}

const listMax = 1_000;

/** Dead letters that wait for a decision, oldest first, of those behind the one numbered `after`; 1,000 at most. */
export async function listDeadLetters(
  connection: Connection,
  options: DeadLetterOptions & { readonly limit?: number; readonly after?: number } = {},
): Promise<OutboxDeadLetter[]> {
  const rows = await readRows(
    connection,
    letterColumns,
    `SELECT ${letterSql} FROM ${outboxNames(options.schema).deadLetters} letter
     WHERE state = 'DEAD' AND letter.id > $2 ORDER BY letter.id LIMIT $1`,
    [Math.min(options.limit ?? listMax, listMax), options.after ?? 0],
  );
  return rows.map(deadLetterOf);
}

/**
 * Has dead letters published again, and after them, in order, what waits behind them. One statement: a transaction of
 * its own, or part of the caller's. Should the broker refuse them again, they are dead letters again.
 * @throws OutboxError `OUTBOX_DEAD_LETTER_UNKNOWN`
 */
export const redrive = (
  connection: Connection,
  target: DeadLetterTarget,
  options: DeadLetterOptions & { readonly reason?: string } = {},
): Promise<OutboxDeadLetter[]> =>
  resolve(connection, target, 'REDRIVEN', options.reason ?? 'redrive', options);

/**
 * Gives a dead letter up: it is never published, its aggregate's later events go on. One statement, as {@link redrive}.
 * @param reason for those who ask later
 * @throws OutboxError `OUTBOX_DEAD_LETTER_UNKNOWN`
 */
export const skip = async (
  connection: Connection,
  id: number,
  reason: string,
  options: DeadLetterOptions = {},
): Promise<OutboxDeadLetter> =>
  (await resolve(connection, { id }, 'SKIPPED', reason, options))[0] as OutboxDeadLetter;

async function resolve(
  connection: Connection,
  target: DeadLetterTarget,
  state: 'REDRIVEN' | 'SKIPPED',
  reason: string,
  { schema }: DeadLetterOptions,
): Promise<OutboxDeadLetter[]> {
  const names = outboxNames(schema);
  const [which, values] =
    'id' in target
      ? ['id = $5', [target.id]]
      : ['aggregatetype = $5 AND aggregateid = $6', [target.aggregateType, target.orderingKey]];
  // The notification is delivered when the transaction commits, so that relays look at once.
  const rows = await readRows(
    connection,
    letterColumns,
    `SELECT ${letterSql}, pg_notify($3, $4)
     FROM ${names.resolveDeadLetters}(
       ARRAY(SELECT id FROM ${names.deadLetters} WHERE state = 'DEAD' AND ${which}), $1, $2) AS letter`,
    [state, reason, names.channel, wakeFor.events, ...values],
  );
  if (rows.length === 0) {
    const what = 'id' in target ? `number ${target.id}` : `of ${target.aggregateType} ${target.orderingKey}`;
    throw new OutboxError('OUTBOX_DEAD_LETTER_UNKNOWN', `no dead letter ${what} waits for a decision`);
  }
  return rows.map(deadLetterOf);
}

const letterColumns = {
  id: integer,
  event_id: text,
  topic: text,
  key: text,
  type: text,
  aggregatetype: text,
  aggregateid: text,
  state: text,
  blocks: bool,
  reason: text,
  attempts: integer,
  failed_at: time,
  history: json,
};

const letterSql = `letter.id, letter.event_id, letter.topic, letter.key, letter.type, letter.aggregatetype, letter.aggregateid,
            letter.state, letter.blocks, letter.reason, letter.attempts,
            ${secondsOf('letter.failed_at')} AS failed_at, letter.history::text AS history`;

function deadLetterOf(row: RowOf<typeof letterColumns>): OutboxDeadLetter {
  const { id, topic, key, type, blocks, reason, attempts } = row;
  return {
    id,
    eventId: row.event_id,
    topic,
    key,
    type,
    aggregateType: row.aggregatetype,
    orderingKey: row.aggregateid,
    state: row.state as OutboxDeadLetter['state'],
    blocks,
    reason,
    attempts,
    failedAt: row.failed_at,
    history: row.history as OutboxDeadLetter['history'],
  };
}
