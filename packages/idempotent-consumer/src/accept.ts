import {
  type Acceptance,
  type AcceptDeps,
  type Accepted,
  acceptIn,
  type Failure,
  type HandleNew,
} from './accepting-transaction.ts';
import { run } from './ask.ts';
import type { Delivery } from './handler.ts';
import { createHandlerRun, type HandlerRun, SavepointGone, type Thrown } from './handler-run.ts';
import { EndsItsProcess } from './routing.ts';
import type { ConsumerTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

/** Told of each transaction once it is committed: a later one of the same chunk may still fail. */
export type OnAccepted = (accepted: Accepted) => void;

/**
 * Takes over the events and the invalid records of a chunk: when it resolves, each new event is handled, or stored to
 * be tried again, or a dead letter; each invalid record is a dead letter; and all of it is committed.
 *
 * Events whose key has an unfinished event are stored behind it. An error of a handler is pinned to its event: the
 * chunk is done again event by event under savepoints, and only the failing ones are stored. Where that cannot be (a
 * handler ran too long, or a deferred constraint spoke at COMMIT) each event gets a transaction of its own.
 * @throws whatever is not one event's fault: failures of the connection, the inbox, the dead letters or the sink, and
 *   `CONSUMER_KILL_SWITCH`. Nothing of an unfinished transaction stands; the chunk can be tried again.
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
    if (!failed.hasTimedOut) failed = await acceptInOne(deps, chunk, oneByOne, onAccepted);
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
    const accepted = await deps.transaction(
      async (tx) => {
        // A transaction function may try more than once.
        isReadyToCommit = false;
        handlerRun.begin();
        const result = await acceptIn(deps, tx, chunk, { handlerRun, handleNew });
        isReadyToCommit = result.handled > 0;
        return result;
      },
      { signal: handlerRun.signal },
    );
    onAccepted(accepted);
    await handlerRun.committed();
    return undefined;
  } catch (error) {
    if (error instanceof FaultOfEvents) return error.failed;
    // What fails between the last statement and the answer is the commit.
    if (isReadyToCommit && !isTransient(error)) return { thrown: error, hasTimedOut: false };
    throw error;
  }
}

async function together<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  deliveries: readonly Delivery<E>[],
): Promise<readonly Failure<E>[]> {
  try {
    await handlerRun.handle(tx, deliveries);
    // A handler that swallowed a failed statement leaves a transaction that PostgreSQL will roll back at COMMIT
    // without an error. This statement fails in such a transaction.
    await run(tx, 'SELECT 1');
    return [];
  } catch (thrown) {
    const hasTimedOut = handlerRun.signal.aborted;
    if (!hasTimedOut && (await isConnectionDead(tx))) throw thrown;
    throw new FaultOfEvents({ thrown, hasTimedOut });
  }
}

/** In a transaction that has failed PostgreSQL answers 25P02; what is dead gives no such answer. */
async function isConnectionDead(tx: ConsumerTransaction): Promise<boolean> {
  try {
    await run(tx, 'SELECT 1');
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code !== '25P02';
  }
}

async function oneByOne<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  deliveries: readonly Delivery<E>[],
  onFailure: (failures: readonly Failure<E>[], succeeded: number) => void,
): Promise<readonly Failure<E>[]> {
  const failures: Failure<E>[] = [];
  const failedKeys = new Set<string>();
  let succeeded = 0;
  for (const delivery of deliveries) {
    if (failedKeys.has(delivery.orderingKey)) continue; // it waits behind the one that failed
    const failure = await undoably(handlerRun, tx, delivery);
    if (failure === undefined) {
      succeeded++;
      continue;
    }
    failures.push({ ...failure, delivery });
    failedKeys.add(delivery.orderingKey);
    onFailure(failures, succeeded);
  }
  return failures;
}

async function undoably<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  delivery: Delivery<E>,
): Promise<Thrown | undefined> {
  try {
    return await handlerRun.handleUndoably(tx, delivery);
  } catch (thrown) {
    if (handlerRun.signal.aborted) throw new FaultOfEvents({ thrown, hasTimedOut: true });
    if (thrown instanceof SavepointGone)
      throw new FaultOfEvents({ thrown: thrown.cause, hasTimedOut: false });
    throw thrown;
  }
}

/** Tries nothing: the one event there is has failed already. */
const given =
  ({ thrown }: Thrown) =>
  async <E>(_: HandlerRun<E>, __: ConsumerTransaction, deliveries: readonly Delivery<E>[]) =>
    deliveries.map((delivery): Failure<E> => ({ delivery, thrown }));
