import { fullJitterMs } from '../backoff.ts';
import {
  insertDeadLetters,
  reviveDeadLetter,
  type StoredDeadLetter,
  settleDeadLetters,
  tellSink,
} from '../dead-letters/dead-letters.ts';
import type { ConsumerError } from '../errors.ts';
import type { Delivery } from '../handler.ts';
import { type AcceptDeps, isStandstill, stopped, tripped } from '../intake/accepting-transaction.ts';
import { createHandlerRun, type HandlerRun, SavepointGone, type Thrown } from '../intake/handler-run.ts';
import { type Reading, readRecord } from '../intake/sort-records.ts';
import { insertReceived } from '../processed-events.ts';
import { asError, isA, reasonOf } from '../reason.ts';
import { type ConsumerTransaction, runIn } from '../transaction.ts';
import { isTransient } from '../transient.ts';
import { EndsItsProcess, type Verdict, verdictOn } from './routing.ts';
import {
  type ClaimedEvent,
  isProvisional,
  keyClaimed,
  lockClaimed,
  nameClaimed,
  releaseClaimed,
  settleClaimed,
} from './scheduled-events.ts';

/** What a try of a stored event needs. */
export interface StoredTryDeps<E, Tx extends ConsumerTransaction> extends AcceptDeps<E, Tx> {
  readonly reading: Reading<E>;
  readonly onSettled: (settled: Settled) => void;
  /** The kill switch tripped, or `routeError` answered "stop". */
  readonly onStandstill: (error: ConsumerError) => void;
}

/** How a try of a stored event ended, committed. */
export interface Settled {
  readonly claimed: ClaimedEvent;
  readonly state: 'DONE' | 'DUE' | 'DEAD' | 'SKIPPED';
  readonly attempts: number;
  readonly reason: string | null;
  /** Without anything that may have come out of the record, for logs. */
  readonly loggedReason?: string;
  readonly deadLetters: readonly StoredDeadLetter[];
}

/** Tries a claimed event, whatever comes of it; one that was begun too often without an end is given up. */
export async function tryAndSettle<E, Tx extends ConsumerTransaction>(
  deps: StoredTryDeps<E, Tx>,
  startsMax: number,
  claimed: ClaimedEvent,
): Promise<void> {
  try {
    const settled =
      claimed.starts > startsMax
        ? await giveUp(deps, claimed, reasonOf(new EndsItsProcess(claimed.starts)))
        : await tryClaimed(deps, claimed);
    deps.crashPoint('consumer.retry.after-commit');
    if (settled !== undefined) deps.onSettled(settled);
  } catch (error) {
    await backOff(deps, claimed, error);
  }
}

/** Through no fault of its own it could not be tried: nothing is spent. */
async function backOff<E, Tx extends ConsumerTransaction>(
  { consumerName, logger, retry, transaction, onStandstill }: StoredTryDeps<E, Tx>,
  claimed: ClaimedEvent,
  error: unknown,
): Promise<void> {
  const { eventId, orderingKey } = claimed;
  const entry = { consumerName, eventId, orderingKey, err: asError(error) };
  if (isStandstill(error)) onStandstill(error);
  else logger[isTransient(error) ? 'warn' : 'error'](entry, 'a stored event cannot be tried for now');
  const delayMs = fullJitterMs(5, retry);
  await runIn(transaction, (tx) => releaseClaimed(tx, claimed, delayMs)).catch((failure) => {
    logger.warn({ ...entry, err: asError(failure) }, 'a stored event stays leased until its lease ends');
  });
}

/** One try of a claimed event in one transaction, or in a second one that only stores how the first one failed. */
async function tryClaimed<E, Tx extends ConsumerTransaction>(
  deps: StoredTryDeps<E, Tx>,
  claimed: ClaimedEvent,
): Promise<Settled | undefined> {
  const read = await readRecord(claimed.record, deps.reading);
  if (read !== undefined && !('orderingKey' in read)) {
    const settled = await giveUp(deps, claimed, read.reason, read.loggedReason);
    return settled && { ...settled, loggedReason: read.loggedReason };
  }
  const handlerRun = createHandlerRun(deps);
  let isReadyToCommit = false;
  let failure: Thrown;
  try {
    const settled = await runIn(
      deps.transaction,
      async (tx) => {
        isReadyToCommit = false;
        handlerRun.begin();
        const done = await tryIn(
          deps,
          tx,
          claimed,
          read && { ...read, attempt: claimed.attempts + 1 },
          handlerRun,
        );
        isReadyToCommit = true;
        return done;
      },
      handlerRun.signal,
    );
    if (settled !== undefined) await handlerRun.committed();
    return settled;
  } catch (error) {
    if (isA(error, TryFailed)) failure = { thrown: error.cause };
    else if (isReadyToCommit && !isTransient(error)) failure = { thrown: error };
    else throw error;
  }
  if (read === undefined) throw failure.thrown;
  const delivery = { ...read, attempt: claimed.attempts + 1 };
  return runIn(deps.transaction, async (tx) => {
    const { isMine } = await lockClaimed(tx, claimed, deps.handleTimeoutMs);
    return isMine ? settleFailure(deps, tx, claimed, delivery, failure) : undefined;
  });
}

/** The transaction cannot go on after the handler; how it failed is stored in another. */
class TryFailed extends Error {}

async function tryIn<E, Tx extends ConsumerTransaction>(
  deps: StoredTryDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  delivery: Delivery<E> | undefined,
  handlerRun: HandlerRun<E>,
): Promise<Settled | undefined> {
  const { isMine, backend } = await lockClaimed(tx, claimed, deps.handleTimeoutMs);
  if (!isMine) return undefined;
  handlerRun.useBackend(backend);
  if (delivery === undefined) {
    const reason = 'decode skips its record now';
    return settleAs(deps, tx, claimed, { state: 'SKIPPED', delayMs: 0, reason }, claimed.attempts);
  }
  if (isProvisional(claimed)) {
    await keyClaimed(tx, claimed, delivery.orderingKey);
    return undefined; // claimed anew when it is the head of that key
  }
  if (await isToBeHandled(deps, tx, claimed, delivery)) {
    const failure = await handleUndoably(handlerRun, tx, delivery);
    if (failure !== undefined) return settleFailure(deps, tx, claimed, delivery, failure);
  }
  await settleClaimed(tx, claimed, { state: 'DONE' });
  await settleDeadLetters(tx, claimed.seq, 'DONE');
  deps.crashPoint('consumer.retry.before-commit');
  return { claimed, state: 'DONE', attempts: claimed.attempts, reason: null, deadLetters: [] };
}

/** Its inbox row was written when it was stored; a record that could not be decoded then has none yet. */
async function isToBeHandled<E, Tx extends ConsumerTransaction>(
  { consumerName, handleTimeoutMs }: StoredTryDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  { id }: Delivery<E>,
): Promise<boolean> {
  if (id === claimed.eventId) return true;
  const { topic, partition, offset } = claimed.record;
  const events = { eventIds: [id], topic, partition, offsets: [offset] };
  const { isNew } = await insertReceived(tx, consumerName, events, handleTimeoutMs);
  // The inbox row stands even if the handler fails: the next try must not take it for another's.
  if (isNew.has(id)) await nameClaimed(tx, claimed, id);
  return isNew.has(id);
}

async function handleUndoably<E>(
  handlerRun: HandlerRun<E>,
  tx: ConsumerTransaction,
  delivery: Delivery<E>,
): Promise<Thrown | undefined> {
  try {
    return await handlerRun.handleUndoably(tx, [delivery]);
  } catch (error) {
    if (handlerRun.signal.aborted) throw new TryFailed('handler timed out', { cause: error });
    if (isA(error, SavepointGone)) throw new TryFailed('savepoint gone', { cause: error.cause });
    throw error;
  }
}

async function settleFailure<E, Tx extends ConsumerTransaction>(
  deps: StoredTryDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  delivery: Delivery<E>,
  { thrown }: Thrown,
): Promise<Settled> {
  if (deps.killSwitch.trips(failureOf(claimed))) {
    throw tripped(thrown);
  }
  const verdict = verdictOn(deps, delivery, thrown);
  if (verdict.state === 'STOP') throw stopped(claimed.eventId, verdict.reason);
  return settleAs(deps, tx, claimed, verdict, delivery.attempt);
}

const failureOf = ({ orderingKey }: ClaimedEvent) => ({
  succeeded: 0,
  failedKeys: [orderingKey],
  undecided: 0,
});

async function giveUp<E, Tx extends ConsumerTransaction>(
  deps: StoredTryDeps<E, Tx>,
  claimed: ClaimedEvent,
  reason: string,
  loggedReason = reason,
): Promise<Settled | undefined> {
  return runIn(deps.transaction, async (tx) => {
    const { isMine } = await lockClaimed(tx, claimed, deps.handleTimeoutMs);
    if (!isMine) return undefined;
    if (deps.killSwitch.trips(failureOf(claimed))) throw tripped(loggedReason);
    const attempts = claimed.attempts + 1;
    if (isProvisional(claimed)) return backToLetter(tx, claimed, reason, attempts);
    return settleAs(deps, tx, claimed, { state: 'DEAD', delayMs: 0, reason }, attempts);
  });
}

async function settleAs<E, Tx extends ConsumerTransaction>(
  deps: StoredTryDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  verdict: Exclude<Verdict, { state: 'STOP' }>,
  attempts: number,
): Promise<Settled> {
  const { reason } = verdict;
  await settleClaimed(tx, claimed, { ...verdict, attempts });
  if (verdict.state === 'SKIPPED') await settleDeadLetters(tx, claimed.seq, 'DISCARDED');
  const deadLetters = verdict.state === 'DEAD' ? await storeLetter(deps, tx, claimed, reason, attempts) : [];
  return { claimed, state: verdict.state, attempts, reason, deadLetters };
}

/** A record that still cannot be decoded is of no key, and blocks none: its letter is what it was before. */
async function backToLetter(
  tx: ConsumerTransaction,
  claimed: ClaimedEvent,
  reason: string,
  attempts: number,
): Promise<Settled> {
  await settleClaimed(tx, claimed, { state: 'DISCARDED', reason });
  await reviveDeadLetter(tx, claimed.seq, { reason, attempts, isUnscheduled: true });
  return { claimed, state: 'DEAD', attempts, reason, deadLetters: [] };
}

/** A letter that was replayed is DEAD again in its row; the sink is told of new ones. */
async function storeLetter<E, Tx extends ConsumerTransaction>(
  { consumerName, deadLetterBytesMax, deadLetterSink }: StoredTryDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  reason: string,
  attempts: number,
): Promise<readonly StoredDeadLetter[]> {
  const { record, eventId, seq } = claimed;
  // Not by its place: another record may have come to stand there.
  if (await reviveDeadLetter(tx, seq, { reason, attempts })) return [];
  const letter = { ...record, consumerName, eventId, payload: null, reason, attempts, scheduledSeq: seq };
  const fresh = await insertDeadLetters(tx, [letter], deadLetterBytesMax);
  if (fresh.length > 0) await tellSink(deadLetterSink, tx, fresh);
  return fresh;
}
