import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '@orders/db';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import type { Outbox } from '@orders/outbox';
import type { Kysely } from 'kysely';
import { createBell } from './bell.ts';
import { createClaimTurns } from './claim-turns.ts';
import type { Gateway } from './gateway.ts';
import { type Logger, silentLogger } from './logger.ts';
import { type PaymentOptions, paymentOptions } from './options.ts';
import { createSweeper } from './sweep.ts';

/** What the executor works with. */
export interface ExecutorDeps {
  readonly db: Kysely<Database>;
  readonly lifecycle: OrderLifecycle;
  readonly gateway: Gateway;
  /** Told after every commit that wrote events. */
  readonly outbox?: Pick<Outbox, 'wake'>;
  readonly logger?: Logger;
  /** Called at the named points; replaced in crash tests only. */
  readonly crashPoint?: (point: string) => void;
}

/** Charges payments until it is stopped. */
export interface PaymentExecutor {
  start(): void;
  /** Begins nothing more and waits for what is in flight, up to `drainTimeoutMs`; what is left is resolved later. */
  stop(): Promise<void>;
  /** Says that something may be due: call it after accepting orders. Forgetting it costs one poll interval. */
  wake(): void;
  /** Whether it has looked for work lately and the database answered. */
  isHealthy(): boolean;
}

/** Without a successful look for so long, and the wait before it, it does not count as healthy. */
const healthyWithinMs = 30_000;

/**
 * The executor: claim → call → record, with the sweeper beside it. Any number of them may run on one database.
 * @throws PaymentsError `PAYMENTS_OPTIONS_INVALID`
 */
export function createPaymentExecutor(
  deps: ExecutorDeps,
  givenOptions: Partial<PaymentOptions> = {},
): PaymentExecutor {
  const { db, gateway, lifecycle, logger = silentLogger, crashPoint = () => undefined } = deps;
  const options = paymentOptions(givenOptions, gateway.capabilities);
  const rules = { ...options, replaysDeclines: gateway.capabilities.replaysDeclines };
  const { lostEventGraceMs, pollIntervalMs, sweepIntervalMs } = options;
  const recorded = () => deps.outbox?.wake();
  const bell = createBell();
  const turns = createClaimTurns(
    { db, gateway, lifecycle, logger, crashPoint, options, rules },
    { slotFreed: bell.ring, recorded },
  );
  const sweeper = createSweeper({ db, lifecycle, logger, rules, lostEventGraceMs });
  const stopping = new AbortController();
  let loops: Promise<unknown> | undefined;
  let lastTurnAtMs = Number.NEGATIVE_INFINITY;

  /** Ends early when the executor is stopped. */
  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);

  async function claimLoop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const idle = await turns.turn();
        lastTurnAtMs = performance.now();
        if (idle) await bell.wait(jittered(pollIntervalMs));
      } catch (err) {
        logger.error({ err }, 'could not claim payments; trying again');
        await pause(pollIntervalMs);
      }
    }
  }

  async function sweepLoop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const { more, ...mended } = await sweeper.sweep(stopping.signal);
      if (Object.values(mended).some((count) => count > 0)) {
        recorded();
        bell.ring();
      }
      if (!more) await pause(jittered(sweepIntervalMs));
    }
  }

  /** The limit holds for all of it: a claim or a sweep may be waiting for a database that does not answer. */
  async function stop(): Promise<void> {
    stopping.abort();
    bell.ring();
    const drained = Promise.resolve(loops)
      .then(() => turns.settled())
      .then(() => true);
    const timeout = sleep(options.drainTimeoutMs, false, { ref: false });
    if (await Promise.race([drained, timeout])) return;
    logger.warn(
      { inFlight: turns.inFlight() },
      'stopped with work in flight; the next worker resolves what is left',
    );
  }

  return {
    start() {
      loops ??= Promise.all([claimLoop(), sweepLoop()]);
    },
    stop,
    wake: bell.ring,
    isHealthy: () =>
      loops !== undefined &&
      !stopping.signal.aborted &&
      performance.now() - lastTurnAtMs < healthyWithinMs + pollIntervalMs,
  };
}

/** Between three quarters of it and the whole: workers that started together do not poll together for ever. */
const jittered = (ms: number): number => ms * (0.75 + 0.25 * Math.random());
