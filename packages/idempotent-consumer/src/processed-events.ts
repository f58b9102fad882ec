import { answerOf, asAnswer, ask, askRows, notInTransaction, run, unexpected } from './ask.ts';
import { ConsumerError } from './errors.ts';
import { eventIdLengthMax, eventIdProblem, inboxIdLengthMax } from './intake/sort-records.ts';
import type { ConsumerTransaction } from './transaction.ts';

/** What {@link processOnce} did. `result` is the handler's. */
export type ProcessOnceResult<T> =
  | { readonly outcome: 'processed'; readonly result: T }
  | { readonly outcome: 'duplicate' };

/**
 * Runs `handler` unless this consumer has already processed the event, in the caller's transaction: the handler's
 * writes and the memory of the event are committed together or not at all.
 *
 * Of several transactions with the same event, one goes on and the others wait for its end: if it commits they are
 * duplicates, if it rolls back the next one goes on. An error of the handler must leave the transaction too.
 * `consumerName` names the logical consumer, never a process: all replicas share it.
 * @throws ConsumerError `CONSUMER_EVENT_ID_INVALID`, `CONSUMER_NOT_IN_TRANSACTION`, `CONSUMER_ANSWER_UNEXPECTED`; and
 *   what the handler throws
 */
export async function processOnce<T>(
  tx: ConsumerTransaction,
  event: { readonly consumerName: string; readonly eventId: string },
  handler: () => Promise<T>,
): Promise<ProcessOnceResult<T>> {
  const [isNew] = await insertProcessed(tx, event.consumerName, [event.eventId]);
  if (isNew === undefined) return { outcome: 'duplicate' };
  return { outcome: 'processed', result: await handler() };
}

/**
 * Writes the inbox rows of many events in one statement and returns the ids that were new, each once, in the order
 * given. Waits for other transactions that have written some of them and are not at their end.
 * @throws ConsumerError `CONSUMER_EVENT_ID_INVALID`, `CONSUMER_NOT_IN_TRANSACTION`, `CONSUMER_ANSWER_UNEXPECTED`
 */
export async function insertProcessed(
  tx: ConsumerTransaction,
  consumerName: string,
  eventIds: readonly string[],
): Promise<string[]> {
  assertStorable(eventIds, eventIdLengthMax);
  if (eventIds.length === 0) return [];
  const { isNew } = await insert(tx, consumerName, { eventIds, topic: null, partition: null, offsets: [] });
  return [...new Set(eventIds)].filter((id) => isNew.has(id));
}

/** Events of a partition and where they were read, which is kept for people: the key is (event id, consumer name). */
export interface ReceivedEvents {
  readonly eventIds: readonly string[];
  readonly topic: string;
  readonly partition: number;
  /** Of each event; decimal. */
  readonly offsets: readonly string[];
}

/** Where the rows were written: enough to end that very transaction over another connection. */
export interface Backend {
  readonly pid: number;
  /** The transaction's id, with its epoch; decimal. */
  readonly xid: string;
}

/**
 * {@link insertProcessed} with the place of each event, and the backend that did it; no later statement of the
 * transaction runs much longer than `handleTimeoutMs`.
 */
export async function insertReceived(
  tx: ConsumerTransaction,
  consumerName: string,
  events: ReceivedEvents,
  handleTimeoutMs: number,
): Promise<{ readonly isNew: ReadonlySet<string>; readonly backend: Backend }> {
  assertStorable(events.eventIds, inboxIdLengthMax);
  const { isNew, answer } = await insert(tx, consumerName, events, handleTimeoutMs);
  return { isNew, backend: backendOf(answer) };
}

/** Which of these events of a topic, all of them known, this consumer has taken over from another one. */
export async function takenFromOtherTopic(
  tx: ConsumerTransaction,
  consumerName: string,
  topic: string,
  eventIds: readonly string[],
): Promise<string[]> {
  if (eventIds.length === 0) return [];
  const rows = await askRows<{ id: string }>(
    tx,
    // Not a join, which PostgreSQL may make by reading the whole inbox: each id is looked up by the primary key.
    asAnswer(`SELECT e.event_id AS id FROM unnest($2::text[]) AS e (event_id)
      WHERE $3::text <> (SELECT p.topic FROM processed_events p WHERE p.event_id = e.event_id AND p.worker_id = $1)`),
    [consumerName, eventIds, topic],
  );
  return rows.map(({ id }) => id);
}

/** Events that were read nowhere that is known. */
interface Unplaced {
  readonly eventIds: readonly string[];
  readonly topic: null;
  readonly partition: null;
  readonly offsets: readonly [];
}

interface InsertAnswer {
  readonly inTransaction?: unknown;
  /** Those that were new, or {@link allNew}. */
  readonly ids?: unknown;
  readonly pid?: unknown;
  readonly xid?: unknown;
}

/**
 * A row that is committed before the handler's writes would be their loss, so the statement writes only inside a
 * transaction: one that has written before has an id, which a statement on its own does not have when its condition is
 * evaluated; and a local setting outlives the statement that makes it only inside a transaction.
 */
async function insert(
  tx: ConsumerTransaction,
  consumerName: string,
  events: ReceivedEvents | Unplaced,
  handleTimeoutMs?: number,
): Promise<{ readonly isNew: ReadonlySet<string>; readonly answer: InsertAnswer }> {
  const sql = insertSql(handleTimeoutMs);
  const { eventIds, topic, partition, offsets } = events;
  const given = new Set(eventIds);
  const values = [consumerName, eventIds, topic, partition, offsets, given.size];
  const insertOnce = async () => (await ask(tx, sql, values)) as InsertAnswer;
  let answer = await insertOnce();
  if (answer?.inTransaction !== true) {
    await run(tx, `SELECT set_config('idempotent_consumer.in_transaction', '1', true)`);
    answer = await insertOnce();
  }
  if (answer?.inTransaction !== true) throw notInTransaction('this is none, or it is over');
  return { isNew: newIdsOf(answer, given), answer };
}

/**
 * Columns for `json_build_object`: pid and transaction id of the connection; and a limit for the transaction's further
 * statements, unless there is a lower one. It ends a statement that hangs where no connection is free to end it from.
 */
export function backendSql(handleTimeoutMs: number): string {
  const limitMs = Math.min(handleTimeoutMs + statementGraceMs, 2 ** 31 - 1);
  return `'pid', pg_backend_pid(), 'xid', pg_current_xact_id()::text, 'limit', CASE
    WHEN extract(epoch FROM current_setting('statement_timeout')::interval) * 1000 BETWEEN 1 AND ${limitMs} THEN NULL
    ELSE set_config('statement_timeout', '${limitMs}', true) END`;
}

/** The handler's own time-out comes first. */
const statementGraceMs = 1_000;

export function backendOf(answer: { pid?: unknown; xid?: unknown } | null | undefined): Backend {
  const { pid, xid } = answer ?? {};
  if (typeof pid !== 'number' || typeof xid !== 'string') throw unexpected('no backend');
  return { pid, xid };
}

/** The answer where every id was new, which is the usual case: to list, to prove and to read them all costs both sides. */
const allNew = 'all';

/** In key order, so that two transactions with the same events wait for each other instead of deadlocking. */
const insertSql = (handleTimeoutMs: number | undefined): string => `
    WITH here AS MATERIALIZED (
      SELECT pg_current_xact_id_if_assigned() IS NOT NULL
        OR coalesce(current_setting('idempotent_consumer.in_transaction', true), '') = '1' AS in_transaction
    ), inserted AS (
      INSERT INTO processed_events (event_id, worker_id, topic, "partition", "offset")
      SELECT e.event_id, $1, $3::text, $4::int, e."offset"
      FROM unnest($2::text[], $5::bigint[]) AS e (event_id, "offset")
      WHERE (SELECT in_transaction FROM here)
      ORDER BY e.event_id COLLATE "C"
      ON CONFLICT (event_id, worker_id) DO NOTHING
      RETURNING event_id
    ) ${answerOf(`SELECT json_build_object(
        'ids', (SELECT CASE count(*) WHEN $6::int THEN to_json('${allNew}'::text)
          ELSE (SELECT coalesce(json_agg(event_id), '[]') FROM inserted) END FROM inserted),
        'inTransaction', (SELECT in_transaction FROM here)${handleTimeoutMs === undefined ? '' : `, ${backendSql(handleTimeoutMs)}`})`)}`;

function assertStorable(ids: readonly string[], lengthMax: number): void {
  for (const id of ids) {
    const problem = eventIdProblem(id, lengthMax);
    if (problem !== undefined) throw new ConsumerError('CONSUMER_EVENT_ID_INVALID', problem);
  }
}

/** The ids that were inserted, which must be among those that were given. */
function newIdsOf({ ids }: InsertAnswer, given: ReadonlySet<string>): ReadonlySet<string> {
  if (ids === allNew) return given;
  if (!Array.isArray(ids) || !ids.every((id) => given.has(id)))
    throw unexpected('ids that were not asked for');
  return new Set(ids);
}
