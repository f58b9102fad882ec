import { setTimeout as sleep } from 'node:timers/promises';
import { ask, run } from './ask.ts';
import { ConsumerError } from './errors.ts';
import type { Delivery, HandleAll } from './handler.ts';
import type { Logger } from './logger.ts';
import type { Backend } from './processed-events.ts';
import { asError } from './reason.ts';
import type { ConsumerTransaction, RunTransaction } from './transaction.ts';

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
  /** Which connection it is, known once something was written. */
  useBackend(backend: Backend): void;
  /** Throws the handler's error, or `CONSUMER_HANDLER_TIMEOUT`; then the transaction's connection is dead. */
  handle(tx: ConsumerTransaction, deliveries: readonly Delivery<E>[]): Promise<void>;
  /** As `handle`, under a savepoint: what it throws is undone. @throws SavepointGone */
  handleUndoably(tx: ConsumerTransaction, delivery: Delivery<E>): Promise<Thrown | undefined>;
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
    const late = new AbortController();
    const timeout = sleep(handleTimeoutMs, 'late' as const, { signal: late.signal, ref: false });
    timeout.catch(() => undefined);
    try {
      if ((await Promise.race([handled, timeout])) !== 'late') return;
    } finally {
      late.abort();
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
    useBackend: (known) => {
      backend = known;
    },
    handle,
    async handleUndoably(tx, delivery) {
      const before = callbacks.length;
      await run(tx, 'SAVEPOINT event');
      try {
        await handle(tx, [delivery]);
        // Fails if the handler swallowed a failed statement.
        await run(tx, 'RELEASE SAVEPOINT event');
        return undefined;
      } catch (thrown) {
        if (abort.signal.aborted) throw thrown;
        callbacks = callbacks.slice(0, before);
        await undo(tx, thrown);
        return { thrown };
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

async function undo(tx: ConsumerTransaction, cause: unknown): Promise<void> {
  try {
    await run(tx, 'ROLLBACK TO SAVEPOINT event');
    await run(tx, 'RELEASE SAVEPOINT event');
  } catch (error) {
    // No such savepoint, or no transaction: the handler has ended it. Anything else is about the connection.
    const { code } = error as { code?: unknown };
    if (code === '3B001' || code === '25P01') throw new SavepointGone('the savepoint is gone', { cause });
    throw error;
  }
}

/** Between two looks whether a transaction that must end has ended. */
const endingPollMs = 500;

/**
 * Ends the transaction of a handler that does not come back, so that it can write nothing any more when it does:
 * whatever connection pool there is, what it holds is dead. Its backend is terminated over another connection, told by
 * its transaction's id, so that it can be no other's. Goes on until that is so, or the handler is back.
 */
async function endTransaction<E, Tx extends ConsumerTransaction>(
  { transaction, logger, consumerName }: HandlerRunDeps<E, Tx>,
  tx: ConsumerTransaction,
  { handled, backend }: { handled: Promise<void>; backend: Backend | undefined },
): Promise<void> {
  let isBack = false;
  const back = handled.then(
    () => undefined,
    () => undefined,
  );
  void back.then(() => {
    isBack = true;
  });
  while (!isBack) {
    try {
      if (backend !== undefined) await terminate(transaction, backend);
    } catch (error) {
      logger.error(
        { consumerName, pid: backend?.pid, err: error },
        'a handler does not return, and its backend could not be terminated; trying again',
      );
    }
    if (isBack || (await isDead(tx, back))) return;
    await Promise.race([back, sleep(endingPollMs)]);
  }
}

async function terminate<Tx extends ConsumerTransaction>(
  transaction: RunTransaction<Tx>,
  { pid, xid }: Backend,
): Promise<void> {
  await transaction(
    (tx) =>
      ask(
        tx,
        `SELECT count(pg_terminate_backend(pid))::text AS answer FROM pg_stat_activity
         WHERE pid = $1 AND backend_xid::text = $2`,
        [pid, xid],
      ),
    { signal: new AbortController().signal },
  );
}

/** Asks the connection itself; behind a statement that hangs the answer may take as long as the handler does. */
async function isDead(tx: ConsumerTransaction, back: Promise<void>): Promise<boolean> {
  const probe = run(tx, 'SELECT 1').then(
    () => false,
    () => true,
  );
  return Promise.race([probe, back.then(() => false), sleep(endingPollMs, false)]);
}
