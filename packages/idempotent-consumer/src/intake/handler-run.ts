import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf, ask, run } from '../ask.ts';
import { ConsumerError } from '../errors.ts';
import type { Delivery, HandleAll } from '../handler.ts';
import type { Logger } from '../logger.ts';
import type { Backend } from '../processed-events.ts';
import { asError } from '../reason.ts';
import { EndedItsTransaction } from '../retries/routing.ts';
import type { ConsumerTransaction, RunTransaction } from '../transaction.ts';

/** What running a handler needs. */
export interface HandlerRunDeps<E, Tx extends ConsumerTransaction> {
  readonly consumerName: string;
  readonly handleAll: HandleAll<E, Tx>;
  readonly handleTimeoutMs: number;
  readonly transaction: RunTransaction<Tx>;
  readonly logger: Logger;
}

/** One transaction in which handlers run. */
export interface HandlerRun<E> {
  /** For the transaction: aborted when a handler in it has run for too long. */
  readonly signal: AbortSignal;
  /** A transaction begins; what an earlier try has asked for is forgotten. */
  begin(): void;
  /** Which connection it is, known once something was written; and the ids that the inbox has taken in on it. */
  useBackend(backend: Backend, newIds?: ReadonlySet<string>): void;
  newIds(): ReadonlySet<string>;
  /** Whether the transaction is still that of `useBackend`. Throws PostgreSQL's error where a statement in it failed. */
  isOpen(tx: ConsumerTransaction): Promise<boolean>;
  /** Throws the handler's error, or `CONSUMER_HANDLER_TIMEOUT`; then the transaction's connection is dead. */
  handle(tx: ConsumerTransaction, deliveries: readonly Delivery<E>[]): Promise<void>;
  /** As `handle`, under a savepoint: what it throws is undone. @throws SavepointGone */
  handleUndoably(tx: ConsumerTransaction, deliveries: readonly Delivery<E>[]): Promise<Thrown | undefined>;
  /** Calls what handlers have asked for; never throws. */
  committed(): Promise<void>;
}

/** Something that was thrown, which may be anything, undefined too. */
export interface Thrown {
  readonly thrown: unknown;
}

/** The transaction cannot go on after a handler: it ended it itself, or its connection is dead. */
export class SavepointGone extends Error {}

export function createHandlerRun<E, Tx extends ConsumerTransaction>(
  deps: HandlerRunDeps<E, Tx>,
): HandlerRun<E> {
  const { consumerName, handleAll, handleTimeoutMs, logger } = deps;
  const abort = new AbortController();
  let backend: Backend | undefined;
  let newIds: ReadonlySet<string> = new Set();
  let callbacks: (() => void | Promise<void>)[] = [];
  const context = {
    consumerName,
    signal: abort.signal,
    afterCommit: (callback: () => void | Promise<void>) => {
      callbacks.push(callback);
    },
  };

  async function handle(tx: ConsumerTransaction, deliveries: readonly Delivery<E>[]): Promise<void> {
    const handled = handleAll(tx as Tx, deliveries, context);
    // Not the promised timer and a signal: to abort one makes two errors with their stacks, for each chunk.
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(late.resolve, handleTimeoutMs, 'late').unref();
    try {
      if ((await Promise.race([handled, late.promise])) !== 'late') return;
    } finally {
      clearTimeout(timer);
    }
    const error = new ConsumerError(
      'CONSUMER_HANDLER_TIMEOUT',
      `the handler has run for ${handleTimeoutMs} ms (handleTimeoutMs); its transaction was ended`,
    );
    abort.abort(error);
    await endTransaction(deps, tx, { handled, backend });
    throw error;
  }

  return {
    signal: abort.signal,
    begin: () => {
      callbacks = [];
      backend = undefined;
    },
    useBackend: (known, ids = new Set()) => {
      backend = known;
      newIds = ids;
    },
    newIds: () => newIds,
    isOpen: (tx) => isStill(tx, backend),
    handle,
    async handleUndoably(tx, deliveries) {
      const before = callbacks.length;
      await run(tx, 'SAVEPOINT event');
      try {
        await handle(tx, deliveries);
        // Fails if the handler swallowed a failed statement.
        await run(tx, 'RELEASE SAVEPOINT event');
        return undefined;
      } catch (thrown) {
        if (abort.signal.aborted) throw thrown;
        callbacks = callbacks.slice(0, before);
        if (await undo(tx)) return { thrown };
        const cause = (await isStill(tx, backend).catch(isFailed)) ? thrown : new EndedItsTransaction(thrown);
        throw new SavepointGone('the savepoint is gone', { cause });
      }
    },
    async committed() {
      for (const callback of callbacks) {
        try {
          await callback();
        } catch (thrown) {
          logger.error({ consumerName, err: asError(thrown) }, 'a callback of afterCommit failed');
        }
      }
    },
  };
}

/** @returns false where there is no such savepoint, or no transaction: the handler has ended one of them */
async function undo(tx: ConsumerTransaction): Promise<boolean> {
  try {
    await run(tx, 'ROLLBACK TO SAVEPOINT event');
    await run(tx, 'RELEASE SAVEPOINT event');
    return true;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === '3B001' || code === '25P01') return false;
    throw error;
  }
}

async function isStill(tx: ConsumerTransaction, backend: Backend | undefined): Promise<boolean> {
  const xid = `coalesce(to_json(pg_current_xact_id_if_assigned()::text), 'null')`;
  return (await ask(tx, answerOf(xid), [])) === backend?.xid;
}

/** A transaction in which a statement failed answers nothing else, until it is rolled back. */
const isFailed = (error: { code?: unknown }): true => {
  if (error.code === '25P02') return true;
  throw error;
};

/** Between two tries to end a transaction. */
const endingPollMs = 100;
/** Tries after which a connection that its client has closed is taken for dead. */
const closedTriesMax = 8;

/**
 * Ends the transaction of a handler that does not come back, so that it can write nothing any more when it does:
 * whatever connection pool there is, what it holds is dead. Its backend is terminated over another connection, told by
 * its transaction's id, so that it can be no other's; and over its own, which answers where the handler waits for
 * something else, and needs no free connection. Goes on until that is so. It is enough that the handler is back where
 * its transaction has failed, and what it has left in the connection's queue with it.
 */
async function endTransaction<E, Tx extends ConsumerTransaction>(
  { transaction, logger, consumerName }: HandlerRunDeps<E, Tx>,
  tx: ConsumerTransaction,
  { handled, backend }: { handled: Promise<void>; backend: Backend | undefined },
): Promise<void> {
  let isBack = false;
  let isClosed = false;
  let isOver = false;
  let end = () => {};
  const over = new Promise<void>((resolve) => {
    end = () => {
      isOver = true;
      resolve();
    };
  });
  const fromWithin = oneAtATime(async () => {
    const wasBack = isBack;
    try {
      await run(tx, 'SELECT pg_terminate_backend(pg_backend_pid())');
    } catch (error) {
      const { code } = error as { code?: unknown };
      // A transaction in which a statement failed answers 25P02; what answers otherwise is closed on this side.
      isClosed = code !== '25P02';
      if (code === '57P01' || (!isClosed && wasBack)) end();
    }
  });
  const fromOutside = oneAtATime(async () => {
    try {
      if (backend !== undefined) await terminate(transaction, backend);
      if (isClosed) end();
    } catch (error) {
      logger.error(
        { consumerName, pid: backend?.pid, err: asError(error) },
        'a handler does not return, and its backend could not be terminated; trying again',
      );
    }
  });
  const comeBack = () => {
    isBack = true;
    fromWithin();
  };
  handled.then(comeBack, comeBack);
  for (let closedTries = 0; !isOver && closedTries < closedTriesMax; closedTries += isClosed ? 1 : 0) {
    fromOutside();
    fromWithin();
    await Promise.race([over, sleep(endingPollMs)]);
  }
}

/** Starts `work`, which never throws, unless it is running. */
function oneAtATime(work: () => Promise<void>): () => void {
  let isRunning = false;
  return () => {
    if (isRunning) return;
    isRunning = true;
    void work().finally(() => {
      isRunning = false;
    });
  };
}

async function terminate<Tx extends ConsumerTransaction>(
  transaction: RunTransaction<Tx>,
  { pid, xid }: Backend,
): Promise<void> {
  await transaction(
    (tx) =>
      ask(
        tx,
        // A transaction that has failed has no id any more.
        answerOf(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE pid = $1 AND (backend_xid::text = ($2::bigint % 4294967296)::text
           OR state = 'idle in transaction (aborted)')`),
        [pid, xid],
      ),
    { signal: new AbortController().signal },
  );
}
