import { setTimeout as sleep } from 'node:timers/promises';
import { type AcceptDeps, isStandstill, stopped, tripped } from './accepting-transaction.ts';
import { fullJitterMs } from './backoff.ts';
import {
  insertDeadLetters,
  reviveDeadLetter,
  type StoredDeadLetter,
  settleDeadLetters,
  tellSink,
} from './dead-letters.ts';
import type { ConsumerError } from './errors.ts';
import type { Delivery } from './handler.ts';
import { createHandlerRun, type HandlerRun, SavepointGone, type Thrown } from './handler-run.ts';
import { insertReceived } from './processed-events.ts';
import { asError, reasonOf } from './reason.ts';
import { EndsItsProcess, type Verdict, verdictOn } from './routing.ts';
import {
  type ClaimedEvent,
  claimHeads,
  isProvisional,
  keyClaimed,
  lockClaimed,
  nameClaimed,
  releaseClaimed,
  settleClaimed,
} from './scheduled-events.ts';
import { type Reading, readRecord } from './sort-records.ts';
import type { ConsumerTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

/** What the executor works with. */
export interface RetryExecutorDeps<E, Tx extends ConsumerTransaction> extends AcceptDeps<E, Tx> {
  readonly reading: Reading<E>;
  /** Whether events may be tried now: the consumer is not paused, and the kill switch is closed. */
  readonly mayTry: () => boolean;
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

/** Limits of the executor. */
export interface RetryExecutorOptions {
  /** Events tried at the same time, each with a connection. */
  readonly parallelMax: number;
  readonly pollIntervalMs: number;
  readonly leaseMs: number;
  /** Starts without an end, after which an event is given up: it ends its process. */
  readonly startsMax: number;
}

/** Tries stored events again, many keys at once, of each only the head. */
export interface RetryExecutor {
  start(): void;
  /** Something was stored, or may be due. */
  wake(): void;
  /** Waits for the tries in hand. */
  stop(): Promise<void>;
}

export function createRetryExecutor<E, Tx extends ConsumerTransaction>(
  deps: RetryExecutorDeps<E, Tx>,
  options: RetryExecutorOptions,
): RetryExecutor {
  const { consumerName, logger, onDeadLetter } = deps;
  const stopping = new AbortController();
  const trying = new Set<Promise<void>>();
  let idle = new AbortController();
  let running: Promise<void> | undefined;
  let failures = 0;

  const untimed = { signal: new AbortController().signal };

  async function claim(countMax: number): Promise<ClaimedEvent[]> {
    const { leaseMs } = options;
    return deps.transaction(
      (tx) => claimHeads(tx, consumerName, { countMax, leaseMs, onDeadLetter }),
      untimed,
    );
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const free = options.parallelMax - trying.size;
      let claimed: ClaimedEvent[] = [];
      try {
        if (free > 0 && deps.mayTry()) claimed = await claim(free);
        failures = 0;
      } catch (error) {
        failures++;
        const level = isTransient(error) && failures < 10 ? 'warn' : 'error';
        logger[level](
          { consumerName, err: asError(error) },
          'due events cannot be read for now, trying again',
        );
      }
      for (const one of claimed) begin(one);
      // A full hand may mean that more is due; then the next one to end looks again.
      await pause();
    }
  }

  function begin(claimed: ClaimedEvent): void {
    const attempt = tryOnce(claimed).finally(() => {
      trying.delete(attempt);
      idle.abort();
    });
    trying.add(attempt);
  }

  async function pause(): Promise<void> {
    const backoffMs = failures === 0 ? 0 : fullJitterMs(failures, { baseMs: 100, maxMs: 10_000 });
    const signal = AbortSignal.any([stopping.signal, idle.signal]);
    await sleep(options.pollIntervalMs + backoffMs, undefined, { signal }).catch(() => undefined);
    idle = new AbortController();
  }

  async function tryOnce(claimed: ClaimedEvent): Promise<void> {
    try {
      const settled =
        claimed.starts > options.startsMax
          ? await giveUp(deps, claimed, reasonOf(new EndsItsProcess(claimed.starts)))
          : await tryClaimed(deps, claimed);
      if (settled !== undefined) deps.onSettled(settled);
    } catch (error) {
      await backOff(claimed, error);
    }
  }

  /** Through no fault of its own it could not be tried: nothing is spent. */
  async function backOff(claimed: ClaimedEvent, error: unknown): Promise<void> {
    const { eventId, orderingKey } = claimed;
    const entry = { consumerName, eventId, orderingKey, err: asError(error) };
    if (isStandstill(error)) deps.onStandstill(error);
    else logger[isTransient(error) ? 'warn' : 'error'](entry, 'a stored event cannot be tried for now');
    const delayMs = fullJitterMs(5, deps.retry);
    await deps
      .transaction((tx) => releaseClaimed(tx, claimed, delayMs), untimed)
      .catch((failure) => {
        logger.warn({ ...entry, err: asError(failure) }, 'a stored event stays leased until its lease ends');
      });
  }

  return {
    start() {
      running ??= loop();
    },
    wake: () => idle.abort(),
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(trying);
    },
  };
}

/** One try of a claimed event in one transaction, or in a second one that only stores how the first one failed. */
async function tryClaimed<E, Tx extends ConsumerTransaction>(
  deps: RetryExecutorDeps<E, Tx>,
  claimed: ClaimedEvent,
): Promise<Settled | undefined> {
  const read = await readRecord(claimed.record, deps.reading);
  if (read !== undefined && !('orderingKey' in read)) {
    const settled = await giveUp(deps, claimed, read.reason);
    return settled && { ...settled, loggedReason: read.loggedReason };
  }
  const handlerRun = createHandlerRun(deps);
  let isReadyToCommit = false;
  let failure: Thrown;
  try {
    const settled = await deps.transaction(
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
      { signal: handlerRun.signal },
    );
    if (settled !== undefined) await handlerRun.committed();
    return settled;
  } catch (error) {
    if (error instanceof TryFailed) failure = { thrown: error.cause };
    else if (isReadyToCommit && !isTransient(error)) failure = { thrown: error };
    else throw error;
  }
  if (read === undefined) throw failure.thrown;
  const delivery = { ...read, attempt: claimed.attempts + 1 };
  return deps.transaction(
    async (tx) => {
      const { isMine } = await lockClaimed(tx, claimed);
      return isMine ? settleFailure(deps, tx, claimed, delivery, failure) : undefined;
    },
    { signal: new AbortController().signal },
  );
}

/** The transaction cannot go on after the handler; how it failed is stored in another. */
class TryFailed extends Error {}

async function tryIn<E, Tx extends ConsumerTransaction>(
  deps: RetryExecutorDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  delivery: Delivery<E> | undefined,
  handlerRun: HandlerRun<E>,
): Promise<Settled | undefined> {
  const { isMine, backend } = await lockClaimed(tx, claimed);
  if (!isMine) return undefined;
  handlerRun.useBackend(backend);
  if (delivery !== undefined && isProvisional(claimed)) {
    await keyClaimed(tx, claimed, delivery.orderingKey);
    return undefined; // claimed anew when it is the head of that key
  }
  if (delivery !== undefined && (await isToBeHandled(deps, tx, claimed, delivery))) {
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
  { consumerName }: RetryExecutorDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  { id }: Delivery<E>,
): Promise<boolean> {
  if (id === claimed.eventId) return true;
  const { isNew } = await insertReceived(tx, consumerName, [{ eventId: id, ...claimed.record }]);
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
    return await handlerRun.handleUndoably(tx, delivery);
  } catch (error) {
    if (handlerRun.signal.aborted) throw new TryFailed('handler timed out', { cause: error });
    if (error instanceof SavepointGone) throw new TryFailed('savepoint gone', { cause: error.cause });
    throw error;
  }
}

async function settleFailure<E, Tx extends ConsumerTransaction>(
  deps: RetryExecutorDeps<E, Tx>,
  tx: Tx,
  claimed: ClaimedEvent,
  delivery: Delivery<E>,
  { thrown }: Thrown,
): Promise<Settled> {
  if (deps.killSwitch.trips({ succeeded: 0, failedKeys: [claimed.orderingKey] })) {
    throw tripped(thrown);
  }
  const verdict = verdictOn(deps, delivery, thrown);
  if (verdict.state === 'STOP') throw stopped(claimed.eventId, verdict.reason);
  return settleAs(deps, tx, claimed, verdict, delivery.attempt);
}

async function giveUp<E, Tx extends ConsumerTransaction>(
  deps: RetryExecutorDeps<E, Tx>,
  claimed: ClaimedEvent,
  reason: string,
): Promise<Settled | undefined> {
  return deps.transaction(
    async (tx) => {
      const { isMine } = await lockClaimed(tx, claimed);
      if (!isMine) return undefined;
      const attempts = claimed.attempts + 1;
      if (isProvisional(claimed)) return backToLetter(tx, claimed, reason, attempts);
      return settleAs(deps, tx, claimed, { state: 'DEAD', delayMs: 0, reason }, attempts);
    },
    { signal: new AbortController().signal },
  );
}

async function settleAs<E, Tx extends ConsumerTransaction>(
  deps: RetryExecutorDeps<E, Tx>,
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
  { consumerName, deadLetterBytesMax, deadLetterSink }: RetryExecutorDeps<E, Tx>,
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
