import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { Company } from '../intake/slots.ts';
import type { Progress } from '../operation/progress.ts';
import { asError } from '../reason.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import { isTransient } from '../transient.ts';
import { type ClaimedEvent, claimHeads } from './scheduled-events.ts';
import { type StoredTryDeps, tryAndSettle } from './stored-try.ts';

/** What the executor works with. */
export interface RetryExecutorDeps<E, Tx extends ConsumerTransaction> extends StoredTryDeps<E, Tx> {
  readonly company: Company;
  readonly progress: Progress;
  /** Whether events may be tried now: the consumer is not paused and does not stand still. */
  readonly mayTry: () => boolean;
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
  const { consumerName, logger, onDeadLetter, killSwitch, company } = deps;
  const stopping = new AbortController();
  const trying = new Set<Promise<void>>();
  let idle = new AbortController();
  let running: Promise<void> | undefined;
  let failures = 0;
  /** Of events that may end their process one at a time is tried, with nothing beside. */
  let isSuspectInHand = false;

  const untimed = { signal: new AbortController().signal };

  async function claim(): Promise<ClaimedEvent[]> {
    const free = options.parallelMax - trying.size;
    if (free <= 0 || !deps.mayTry() || !killSwitch.takeTurn()) return [];
    const { leaseMs } = options;
    const countMax = killSwitch.isOpen() ? 1 : free;
    const suspectsMax = isSuspectInHand ? 0 : 1;
    let claimed: ClaimedEvent[] = [];
    try {
      claimed = await deps.transaction(
        (tx) => claimHeads(tx, consumerName, { countMax, suspectsMax, leaseMs, onDeadLetter }),
        untimed,
      );
    } finally {
      if (claimed.length === 0) killSwitch.giveBackTurn();
    }
    return claimed;
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      let claimed: ClaimedEvent[] = [];
      try {
        claimed = await claim();
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
    const isSuspect = claimed.starts > 1;
    if (isSuspect) isSuspectInHand = true;
    const done = deps.progress.begin([claimed.record]);
    deps.crashPoint('consumer.retry.claimed');
    const attempt = company[isSuspect ? 'alone' : 'beside'](() =>
      tryAndSettle(deps, options.startsMax, claimed),
    ).finally(() => {
      done();
      if (isSuspect) isSuspectInHand = false;
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
