import type { Delivery } from '../handler.ts';
import { isA } from '../reason.ts';
import { EndedItsTransaction, EndsItsProcess } from '../retries/routing.ts';
import { type ConsumerTransaction, runIn } from '../transaction.ts';
import { isTransient } from '../transient.ts';
import {
  type Acceptance,
  type AcceptDeps,
  type Accepted,
  acceptIn,
  endedByHandler,
  type Failure,
  type HandleNew,
} from './accepting-transaction.ts';
import { createHandlerRun, type HandlerRun, SavepointGone, type Thrown } from './handler-run.ts';

/** Told of each transaction once it is committed: a later one of the same chunk may still fail. */
export type OnAccepted = (accepted: Accepted) => void;

/**
 * Takes over the events and the invalid records of a chunk: when it resolves, each new event is handled, or stored to
 * be tried again, or a dead letter; each invalid record is a dead letter; and all of it is committed.
 *
 * Events whose key has an unfinished event are stored behind it. An error of a handler is pinned to its event: the
 * chunk is done again in groups, down to single events, under savepoints, and only the failing ones are stored. Where
 * that cannot be (a handler ran too long, or a deferred constraint spoke at COMMIT) each event gets a transaction of its
 * own.
 * @throws whatever is not one event's fault: failures of the connection, the inbox, the dead letters or the sink, and
 *   `CONSUMER_KILL_SWITCH`, `CONSUMER_STOPPED`. Nothing of an unfinished transaction stands; the chunk can be tried again.
 */
export async function acceptChunk<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  chunk: Acceptance<E>,
  onAccepted: OnAccepted,
): Promise<void> {
  const { events, invalid, place } = chunk;
  let failed = await acceptInOne(deps, chunk, together, onAccepted);
  if (failed === undefined) return;
  if (events.length > 1) {
    if (!failed.hasTimedOut) failed = await acceptInOne(deps, chunk, inGroups, onAccepted);
    if (failed === undefined) return;
    if (invalid.length > 0) await acceptChunk(deps, { events: [], invalid, place: undefined }, onAccepted);
    for (const event of events) {
      const at = event === events.at(-1) ? place : undefined; // with its last event the chunk has ended
      await acceptChunk(deps, { events: [event], invalid: [], place: at }, onAccepted);
    }
    return;
  }
  const stillFailed = await acceptInOne(deps, chunk, given(failed), onAccepted);
  if (stillFailed !== undefined) throw stillFailed.thrown;
}

/**
 * Takes over events whose handler was begun that often by processes that did not live to say how it ended: it is not
 * begun again, and they become dead letters.
 */
export async function acceptAsDead<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  chunk: Acceptance<E>,
  starts: number,
  onAccepted: OnAccepted,
): Promise<void> {
  const failed = await acceptInOne(deps, chunk, given({ thrown: new EndsItsProcess(starts) }), onAccepted);
  if (failed !== undefined) throw failed.thrown;
}

/** A transaction in which events, not the infrastructure, have failed; nothing of it stands. */
interface EventsFailed extends Thrown {
  readonly hasTimedOut: boolean;
}

/** Marks an error that a handler has led to. */
class FaultOfEvents extends Error {
  readonly failed: EventsFailed;

  constructor(failed: EventsFailed) {
    super('events failed');
    this.failed = failed;
  }
}

/** @returns undefined when it is committed, else how the events failed */
async function acceptInOne<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  chunk: Acceptance<E>,
  handleNew: HandleNew<E>,
  onAccepted: OnAccepted,
): Promise<EventsFailed | undefined> {
  if (chunk.events.length + chunk.invalid.length === 0) return undefined;
  const handlerRun = createHandlerRun(deps);
  let isReadyToCommit = false;
  try {
    const accepted = await runIn(
      deps.transaction,
      async (tx) => {
        // A transaction function may try more than once.
        isReadyToCommit = false;
        handlerRun.begin();
        const result = await acceptIn(deps, tx, chunk, { handlerRun, handleNew });
        isReadyToCommit = result.handled > 0;
        return result;
      },
      handlerRun.signal,
    );
    onAccepted(accepted);
    await handlerRun.committed();
    return undefined;
  } catch (error) {
    if (isA(error, FaultOfEvents)) {
      const { thrown } = error.failed;
      if (!isA(thrown, EndedItsTransaction)) return error.failed;
      await acceptEnded(deps, { ...chunk, ownIds: handlerRun.newIds() }, thrown, onAccepted);
      throw endedByHandler(thrown);
    }
    // What fails between the last statement and the answer is the commit.
    if (isReadyToCommit && !isTransient(error)) return { thrown: error, hasTimedOut: false };
    throw error;
  }
}

/**
 * A handler has ended the transaction in which it and others worked. Whether by COMMIT or by ROLLBACK, what they did
 * after that was committed statement by statement. Nobody knows which of the events are handled, and the inbox may have
 * them all. None may be handled again, none may be lost.
 */
async function acceptEnded<E, Tx extends ConsumerTransaction>(
  deps: AcceptDeps<E, Tx>,
  chunk: Acceptance<E>,
  thrown: EndedItsTransaction,
  onAccepted: OnAccepted,
): Promise<void> {
  const killSwitch = { ...deps.killSwitch, trips: () => false };
  const failed = await acceptInOne({ ...deps, killSwitch }, chunk, given({ thrown }), onAccepted);
  if (failed !== undefined) throw failed.thrown;
}

async function together<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  deliveries: readonly Delivery<E>[],
): Promise<readonly Failure<E>[]> {
  let failure: Thrown | undefined;
  try {
    await handlerRun.handle(tx, deliveries);
  } catch (thrown) {
    if (handlerRun.signal.aborted) throw new FaultOfEvents({ thrown, hasTimedOut: true });
    failure = { thrown };
  }
  try {
    if (!(await handlerRun.isOpen(tx))) failure = { thrown: new EndedItsTransaction(failure?.thrown) };
  } catch (error) {
    // A handler that swallowed a failed statement leaves a transaction that PostgreSQL will roll back at COMMIT
    // without an error. There it answers 25P02; what is dead gives no such answer.
    if ((error as { code?: unknown }).code !== '25P02') throw failure === undefined ? error : failure.thrown;
    failure ??= { thrown: error };
  }
  if (failure !== undefined) throw new FaultOfEvents({ ...failure, hasTimedOut: false });
  return [];
}

/**
 * Under a savepoint for each group of events, which are fewer after a failure, down to the one that fails, and more
 * after a success: where few fail there are few savepoints.
 */
async function inGroups<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  deliveries: readonly Delivery<E>[],
  onFailure: (failures: readonly Failure<E>[], succeeded: number, undecided: number) => void,
): Promise<readonly Failure<E>[]> {
  const failures: Failure<E>[] = [];
  let left = deliveries;
  let size = Math.ceil(deliveries.length / 2); // all of them have failed already
  let succeeded = 0;
  while (left.length > 0) {
    const group = left.slice(0, size);
    const failure = await undoably(handlerRun, tx, group);
    const [delivery, ...others] = group;
    if (failure === undefined) {
      succeeded += group.length;
      left = left.slice(group.length);
      size *= 2;
    } else if (delivery !== undefined && others.length === 0) {
      failures.push({ ...failure, delivery });
      // Later ones of its key wait behind it.
      left = left.slice(1).filter(({ orderingKey }) => orderingKey !== delivery.orderingKey);
      onFailure(failures, succeeded, left.length);
    } else size = Math.ceil(group.length / 2);
  }
  return failures;
}

async function undoably<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  deliveries: readonly Delivery<E>[],
): Promise<Thrown | undefined> {
  try {
    return await handlerRun.handleUndoably(tx, deliveries);
  } catch (thrown) {
    if (handlerRun.signal.aborted) throw new FaultOfEvents({ thrown, hasTimedOut: true });
    if (isA(thrown, SavepointGone)) throw new FaultOfEvents({ thrown: thrown.cause, hasTimedOut: false });
    throw thrown;
  }
}

/** Tries nothing: the one event there is has failed already. */
const given =
  ({ thrown }: Thrown) =>
  async <E>(_: HandlerRun<E>, __: ConsumerTransaction, deliveries: readonly Delivery<E>[]) =>
    deliveries.map((delivery): Failure<E> => ({ delivery, thrown }));
