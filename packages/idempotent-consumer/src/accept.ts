import { sql } from 'kysely';
import { type DeadLetter, type DeadLetterSink, insertDeadLetters } from './dead-letters.ts';
import { insertProcessedFrom } from './processed-events.ts';
import type { DecodedEvent, InvalidRecord, SortedRecords } from './record.ts';
import type { ConsumerTransaction, RunTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

/** What accepting needs. */
export interface AcceptDeps<E, Tx extends ConsumerTransaction> {
  readonly workerId: string;
  readonly transaction: RunTransaction<Tx>;
  readonly handle: (tx: Tx, events: E[]) => Promise<void>;
  readonly deadLetterSink: DeadLetterSink<Tx> | undefined;
  readonly crashPoint: (point: string) => void;
}

/** What one transaction, or several, have taken over. */
export interface Accepted {
  /** Events that were new and whose handler succeeded. */
  readonly handled: number;
  /** Events that this worker had taken over before, or that stand twice in the chunk. */
  readonly duplicates: number;
  /** Dead letters that were new. */
  readonly deadLetters: readonly DeadLetter[];
}

/**
 * Takes over the events and the invalid records of a chunk: when it resolves, each new event is handled or a dead
 * letter, each invalid record is a dead letter, and all of it is committed.
 *
 * A handler's error that is not transient is pinned to its event: the chunk is done again event by event under
 * savepoints, and only the failing ones become dead letters. If such a transaction cannot be committed (a deferred
 * constraint speaks only then) each event gets a transaction of its own.
 * @throws whatever is not one event's fault: transient errors, and failures of the inbox, the dead letters, the sink
 *   or of getting a transaction at all. Nothing of an unfinished transaction stands; the chunk can be tried again.
 */
export async function acceptChunk<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  { events, invalid }: Pick<SortedRecords<E>, 'events' | 'invalid'>,
): Promise<Accepted> {
  try {
    return await acceptInOne(deps, events, invalid, together);
  } catch (error) {
    if (!isFaultOfEvents(error)) throw whatHappened(error);
  }
  try {
    return await acceptInOne(deps, events, invalid, oneByOne);
  } catch (error) {
    if (!isFaultOfEvents(error)) throw whatHappened(error);
    const [event, ...others] = events;
    if (event === undefined) throw whatHappened(error);
    if (others.length === 0) return acceptInOne(deps, events, invalid, givenUp(error.cause));
  }
  const parts = [await acceptChunk(deps, { events: [], invalid })];
  for (const event of events) parts.push(await acceptChunk(deps, { events: [event], invalid: [] }));
  return sumOf(parts);
}

/** Marks an error that the handler, or the commit of what it wrote, has led to. */
class EventsFailed extends Error {}

const isFaultOfEvents = (error: unknown): error is EventsFailed =>
  error instanceof EventsFailed && !isTransient(error);

/** The error without our mark, for the log. */
const whatHappened = (error: unknown): unknown => (error instanceof EventsFailed ? error.cause : error);

async function acceptInOne<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  events: readonly DecodedEvent<E>[],
  invalid: readonly InvalidRecord[],
  handleNew: HandleNew,
): Promise<Accepted> {
  if (events.length + invalid.length === 0) return sumOf([]);
  let isReadyToCommit = false;
  try {
    return await deps.transaction(async (tx) => {
      isReadyToCommit = false; // a transaction function may try more than once
      const isNew = await insertProcessedFrom(tx, deps.workerId, events.map(receivedEvent));
      const newEvents = firstOfEach(events).filter((event) => isNew.has(event.id));
      const failed = newEvents.length === 0 ? [] : await handleNew(deps, tx, newEvents);
      const deadLetters = await storeDeadLetters(deps, tx, [...invalid, ...failed]);
      if (newEvents.length + deadLetters.length > 0) deps.crashPoint('consumer.accept.before-commit');
      isReadyToCommit = newEvents.length > 0;
      return {
        handled: newEvents.length - failed.length,
        duplicates: events.length - newEvents.length,
        deadLetters,
      };
    });
  } catch (error) {
    // What fails between the last statement and the answer is the commit.
    throw isReadyToCommit ? new EventsFailed('commit failed', { cause: error }) : error;
  }
}

/** Handles new events, at least one, in their order; returns those that failed for good. */
type HandleNew = <E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  tx: Tx,
  events: readonly DecodedEvent<E>[],
) => Promise<InvalidRecord[]>;

const together: HandleNew = async ({ handle }, tx, events) => {
  try {
    await handle(
      tx,
      events.map(({ event }) => event),
    );
    // A handler that swallowed a failed statement leaves a transaction that PostgreSQL will roll back at COMMIT
    // without an error. This statement fails in such a transaction.
    await sql`SELECT 1`.execute(tx);
  } catch (error) {
    throw new EventsFailed('handler failed', { cause: error });
  }
  return [];
};

const oneByOne: HandleNew = async ({ handle }, tx, events) => {
  const failed: InvalidRecord[] = [];
  for (const { record, id, event } of events) {
    await sql`SAVEPOINT event`.execute(tx);
    try {
      await handle(tx, [event]);
      await sql`RELEASE SAVEPOINT event`.execute(tx); // also fails after a swallowed failure
    } catch (error) {
      if (isTransient(error)) throw error;
      failed.push({ record, eventId: id, reason: reasonOf(error) });
      await undo(tx, error);
    }
  }
  return failed;
};

async function undo(tx: ConsumerTransaction, cause: unknown): Promise<void> {
  try {
    await sql`ROLLBACK TO SAVEPOINT event`.execute(tx);
    await sql`RELEASE SAVEPOINT event`.execute(tx);
  } catch (error) {
    if (isTransient(error)) throw error;
    // The handler has ended the transaction itself.
    throw new EventsFailed('the savepoint is gone', { cause });
  }
}

const givenUp =
  (cause: unknown): HandleNew =>
  async (_, __, events) =>
    events.map(({ record, id }) => ({ record, eventId: id, reason: reasonOf(cause) }));

async function storeDeadLetters<E, Tx extends ConsumerTransaction>(
  { workerId, deadLetterSink }: AcceptDeps<E, Tx>,
  tx: Tx,
  records: readonly InvalidRecord[],
): Promise<DeadLetter[]> {
  const letters = await insertDeadLetters(
    tx,
    records.map(({ record, eventId, reason }) => ({
      ...record,
      eventId,
      workerId,
      payload: null,
      reason,
      attempts: 1,
    })),
  );
  if (deadLetterSink !== undefined) {
    for (const letter of letters) await deadLetterSink.add(tx, letter);
  }
  return letters;
}

/** What a dead letter says of an error: its kind, its code if it has one, its message. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return `handler threw ${String(error)}`;
  const { name, message, code } = error as Error & { code?: unknown };
  return `${name}${typeof code === 'string' ? ` (${code})` : ''}: ${message}`;
}

const receivedEvent = <E>({ record, id }: DecodedEvent<E>) => ({
  eventId: id,
  topic: record.topic,
  partition: record.partition,
  offset: record.offset,
});

/** A relay may have published an event twice in a row. */
function firstOfEach<E>(events: readonly DecodedEvent<E>[]): DecodedEvent<E>[] {
  const seen = new Set<string>();
  return events.filter(({ id }) => !seen.has(id) && seen.add(id));
}

const sumOf = (parts: readonly Accepted[]): Accepted => ({
  handled: parts.reduce((sum, part) => sum + part.handled, 0),
  duplicates: parts.reduce((sum, part) => sum + part.duplicates, 0),
  deadLetters: parts.flatMap((part) => part.deadLetters),
});
