import { sql } from 'kysely';
import { ConsumerError } from './errors.ts';
import { eventIdProblem } from './record.ts';
import { assertTransaction, type ConsumerTransaction } from './transaction.ts';

/** What {@link processOnce} did. `result` is the handler's. */
export type ProcessOnceResult<T> =
  | { readonly outcome: 'processed'; readonly result: T }
  | { readonly outcome: 'duplicate' };

/**
 * Runs `handler` unless this worker has already processed the event, in the caller's transaction: the handler's
 * writes and the memory of the event are committed together or not at all.
 *
 * Of several transactions with the same event, one goes on and the others wait for its end: if it commits they are
 * duplicates, if it rolls back the next one goes on. An error of the handler must leave the transaction too.
 * `workerId` names the logical consumer, never a process: all replicas share it.
 * @throws ConsumerError `CONSUMER_EVENT_ID_INVALID`, `CONSUMER_NOT_IN_TRANSACTION`; and what the handler throws
 */
export async function processOnce<T>(
  tx: ConsumerTransaction,
  event: { readonly workerId: string; readonly eventId: string },
  handler: () => Promise<T>,
): Promise<ProcessOnceResult<T>> {
  const [isNew] = await insertProcessed(tx, event.workerId, [event.eventId]);
  if (isNew === undefined) return { outcome: 'duplicate' };
  return { outcome: 'processed', result: await handler() };
}

/**
 * Writes the inbox rows of many events in one statement and returns the ids that were new, each once, in the order
 * given. Waits for other transactions that have written some of them and are not at their end.
 * @throws ConsumerError `CONSUMER_EVENT_ID_INVALID`, `CONSUMER_NOT_IN_TRANSACTION`
 */
export async function insertProcessed(
  tx: ConsumerTransaction,
  workerId: string,
  eventIds: readonly string[],
): Promise<string[]> {
  const isNew = await insertProcessedFrom(
    tx,
    workerId,
    eventIds.map((eventId) => ({ eventId, topic: null, partition: null, offset: null })),
  );
  return [...new Set(eventIds)].filter((id) => isNew.has(id));
}

/** An event and where it was read; the place is kept for people, the key is (event id, worker id). */
export interface ReceivedEvent {
  readonly eventId: string;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
}

/** {@link insertProcessed} with the place of each event. */
export async function insertProcessedFrom(
  tx: ConsumerTransaction,
  workerId: string,
  events: readonly ReceivedEvent[],
): Promise<Set<string>> {
  assertTransaction(tx);
  for (const { eventId } of events) {
    const problem = eventIdProblem(eventId);
    if (problem !== undefined) throw new ConsumerError('CONSUMER_EVENT_ID_INVALID', problem);
  }
  if (events.length === 0) return new Set();
  // In key order, so that two transactions with the same events wait for each other instead of deadlocking.
  const { rows } = await sql<{ event_id: string }>`
    INSERT INTO processed_events (event_id, worker_id, topic, "partition", "offset")
    SELECT e.event_id, ${workerId}, e.topic, e."partition", e."offset"
    FROM unnest(
      ${events.map((event) => event.eventId)}::text[],
      ${events.map((event) => event.topic)}::text[],
      ${events.map((event) => event.partition)}::int[],
      ${events.map((event) => event.offset)}::bigint[]
    ) AS e (event_id, topic, "partition", "offset")
    ORDER BY e.event_id COLLATE "C"
    ON CONFLICT (event_id, worker_id) DO NOTHING
    RETURNING event_id`.execute(tx);
  return new Set(rows.map((row) => row.event_id));
}
