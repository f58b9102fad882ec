import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, inTransaction } from '@orders/db';
import type { OrderLifecycle } from '@orders/order-lifecycle';
import type { Outbox } from '@orders/outbox';
import type { Kysely } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { createBell } from './bell.ts';
import { type ChargeDeps, chargeClaimed, fieldsOf } from './charge.ts';
import { type Claim, type ClaimedAttempt, claimPayments } from './claim.ts';
import type { Gateway } from './gateway.ts';
import { type Logger, silentLogger } from './logger.ts';
import { logRecorded } from './narrate.ts';
import { type PaymentOptions, paymentOptions } from './options.ts';
import { sweep } from './sweep.ts';

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
  /** Claims nothing more and waits for calls in flight, up to `drainTimeoutMs`; what is left is resolved later. */
  stop(): Promise<void>;
  /** Says that something may be due: call it after accepting orders. Forgetting it costs one poll interval. */
  wake(): void;
  /** Whether it has looked for work lately and the database answered. */
  isHealthy(): boolean;
}

/** Without a successful look for so long it does not count as healthy. */
const healthyWithinMs = 30_000;

/**
 * The executor: claim → call → record, with the sweeper beside it. Any number of them may run on one database.
 * @throws PaymentsError `PAYMENTS_OPTIONS_INVALID`
 */
export function createPaymentExecutor(
  deps: ExecutorDeps,
  givenOptions: Partial<PaymentOptions> = {},
): PaymentExecutor {
  const { db, gateway, lifecycle } = deps;
  const logger = deps.logger ?? silentLogger;
  const crashPoint = deps.crashPoint ?? (() => undefined);
  const options = paymentOptions(givenOptions, gateway.capabilities);
  const rules = { ...options, replaysDeclines: gateway.capabilities.replaysDeclines };
  const charging: ChargeDeps = { db, gateway, lifecycle, logger, crashPoint, options, rules };
  const owner = `${hostname()}:${process.pid}:${uuidv7().slice(-6)}`;

  const inFlight = new Set<Promise<void>>();
  const bell = createBell();
  const stopping = new AbortController();
  let loops: Promise<unknown> | undefined;
  let afterTenant = '';
  let lastTurnAtMs = Number.NEGATIVE_INFINITY;

  async function claim(slots: number): Promise<Claim> {
    const claimed = await inTransaction(db, async (tx) => {
      const result = await claimPayments(tx, { ...options, owner, slots, afterTenant });
      if (result.attempts.length > 0) crashPoint('payments.claim.before-commit');
      return result;
    });
    if (claimed.attempts.length > 0) crashPoint('payments.claim.after-commit');
    if (claimed.refusedByIndex > 0) {
      const { refusedByIndex } = claimed;
      logger.error(
        { refusedByIndex },
        'the index refused second attempts of payments that have one open or won',
      );
    }
    return claimed;
  }

  async function charge(claimed: ClaimedAttempt, claimedAtMs: number): Promise<void> {
    const fields = fieldsOf(claimed);
    try {
      logger.info({ ...fields, action: claimed.action }, 'payment claimed');
      const recorded = await chargeClaimed(charging, claimed, claimedAtMs);
      if (recorded === null) return logger.warn(fields, 'lease lost before anything was sent');
      logRecorded(logger, fields, recorded);
      if (recorded.transitions.length > 0) deps.outbox?.wake();
    } catch (err) {
      logger.error({ ...fields, err }, 'charging failed; its lease will run out and the sweeper takes over');
    }
  }

  /** Fills the free slots once; says whether there was nothing to do. */
  async function turn(): Promise<boolean> {
    const slots = options.concurrencyMax - inFlight.size;
    if (slots <= 0) return true;
    const turnStart = afterTenant;
    const claimedAtMs = performance.now();
    const { attempts, refusedByIndex } = await claim(slots);
    for (const claimed of attempts) {
      const work = charge(claimed, claimedAtMs).finally(() => {
        inFlight.delete(work);
        bell.ring();
      });
      inFlight.add(work);
    }
    const taken = attempts.length + refusedByIndex;
    // A turn that was not filled has seen every tenant behind its start: the next one begins at the first.
    afterTenant =
      taken < slots ? '' : attempts.reduce((last, { tenantId }) => max(last, tenantId), turnStart);
    return taken === 0 && turnStart === '';
  }

  async function claimLoop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const idle = await turn();
        lastTurnAtMs = performance.now();
        if (idle) await bell.wait(jittered(options.pollIntervalMs));
      } catch (err) {
        logger.error({ err }, 'could not claim payments; trying again');
        await pause(options.pollIntervalMs);
      }
    }
  }

  async function sweepLoop(): Promise<void> {
    const { lostEventGraceMs, sweepIntervalMs } = options;
    while (!stopping.signal.aborted) {
      try {
        const swept = await sweep({ db, lifecycle, logger, rules, lostEventGraceMs });
        if (Object.values(swept).some((count) => count > 0)) {
          logger.info(swept, 'sweep found work');
          deps.outbox?.wake();
          bell.ring();
        }
      } catch (err) {
        logger.error({ err }, 'sweep failed; trying again');
      }
      await pause(jittered(sweepIntervalMs));
    }
  }

  /** Ends early when the executor is stopped. */
  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);

  return {
    start() {
      loops ??= Promise.all([claimLoop(), sweepLoop()]);
    },
    async stop() {
      stopping.abort();
      bell.ring();
      await loops;
      const drained = Promise.all(inFlight).then(() => true);
      const timeout = sleep(options.drainTimeoutMs, false, { ref: false });
      if (!(await Promise.race([drained, timeout]))) {
        logger.warn(
          { inFlight: inFlight.size },
          'stopped with calls in flight; the next worker resolves them',
        );
      }
    },
    wake: bell.ring,
    isHealthy: () =>
      loops !== undefined && !stopping.signal.aborted && performance.now() - lastTurnAtMs < healthyWithinMs,
  };
}

const max = (a: string, b: string): string => (a > b ? a : b);

/** Between three quarters of it and the whole: workers that started together do not poll together for ever. */
const jittered = (ms: number): number => ms * (0.75 + 0.25 * Math.random());
