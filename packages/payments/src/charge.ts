import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, inTransaction } from '@orders/db';
import type { Kysely } from 'kysely';
import { fingerprintOf } from './attempt.ts';
import type { ClaimedAttempt } from './claim.ts';
import type { AttemptOutcome } from './decision.ts';
import { PaymentsError } from './errors.ts';
import type { Gateway, GatewayOutcome } from './gateway.ts';
import type { Logger } from './logger.ts';
import type { PaymentOptions } from './options.ts';
import { permitResend } from './permit.ts';
import { type RecordDeps, type Recorded, recordOutcome } from './record.ts';

/** What working on one claimed payment needs. */
export interface ChargeDeps extends RecordDeps {
  readonly db: Kysely<Database>;
  readonly gateway: Gateway;
  readonly logger: Logger;
  readonly crashPoint: (point: string) => void;
  readonly options: PaymentOptions;
}

/** How often a known outcome is tried to be stored before the lease is left to run out. */
const recordTriesMax = 6;
const recordRetryBaseMs = 50;

/**
 * The rest of a claimed payment's way: ask or send, then record. No transaction is open and no connection is held
 * while the gateway works. Whatever fails on the way, the lease runs out and the sweeper takes over.
 * @param claimedAtMs monotonic time before the claim
 * @returns null when the lease was lost before anything was sent
 */
export async function chargeClaimed(
  deps: ChargeDeps,
  claimed: ClaimedAttempt,
  claimedAtMs: number,
): Promise<Recorded | null> {
  const outcome = await outcomeOf(deps, claimed, claimedAtMs);
  if (outcome === null) return null;
  return recordWithRetries(deps, claimed, outcome);
}

async function outcomeOf(
  deps: ChargeDeps,
  claimed: ClaimedAttempt,
  claimedAtMs: number,
): Promise<AttemptOutcome | null> {
  if (claimed.action === 'send') return send(deps, claimed, claimedAtMs + claimed.callWithinMs);

  const found = await deps.gateway.lookup(claimed.request).catch(thrown(deps, claimed));
  deps.logger.info(
    { ...fieldsOf(claimed), found: found.outcome },
    'asked the gateway what became of the key',
  );
  if (found.outcome !== 'not-found') return found;
  // It proves nothing: the first request may still be under way. The same key again is safe, as long as it lives.
  const permitAskedAtMs = performance.now();
  const permit = await inTransaction(deps.db, (tx) => permitResend(tx, claimed, deps.options));
  if (permit.granted) return send(deps, claimed, permitAskedAtMs + permit.callWithinMs);
  if (permit.because === 'lease-lost') return null;
  return { outcome: 'unknown', reason: 'not found, and the key is too old to be sent again' };
}

/** A send for which a permit is committed. */
async function send(deps: ChargeDeps, claimed: ClaimedAttempt, startByMs: number): Promise<GatewayOutcome> {
  const { request } = claimed;
  if (fingerprintOf(request) !== claimed.fingerprint) {
    deps.logger.error(fieldsOf(claimed), 'the stored request was changed after its first send; not sent');
    return { outcome: 'not-executed', reason: 'request differs from its fingerprint' };
  }
  // This process may have been stopped since the claim: by now the payment may be another's, or the key too old.
  if (performance.now() >= startByMs)
    return { outcome: 'not-executed', reason: 'too late to start the call' };
  deps.crashPoint('payments.call.before');
  const outcome = await deps.gateway.charge(request).catch(thrown(deps, claimed));
  deps.crashPoint('payments.call.after');
  return outcome;
}

/** An adapter that throws has broken its word; what it did is unknown. */
const thrown = (deps: ChargeDeps, claimed: ClaimedAttempt) => (error: unknown) => {
  deps.logger.error({ ...fieldsOf(claimed), err: error }, 'the gateway adapter threw');
  return { outcome: 'unknown', reason: 'the gateway adapter threw' } as const;
};

/** An outcome in hand is not given up for a broken connection: recording it twice is as good as once. */
async function recordWithRetries(
  deps: ChargeDeps,
  claimed: ClaimedAttempt,
  outcome: AttemptOutcome,
): Promise<Recorded> {
  for (let tries = 1; ; tries++) {
    try {
      const recorded = await inTransaction(deps.db, async (tx) => {
        const result = await recordOutcome(tx, deps, claimed, outcome);
        deps.crashPoint('payments.record.before-commit');
        return result;
      });
      deps.crashPoint('payments.record.after-commit');
      return recorded;
    } catch (error) {
      if (error instanceof PaymentsError || tries >= recordTriesMax) throw error;
      deps.logger.warn(
        { ...fieldsOf(claimed), err: error, tries },
        'could not record an outcome; trying again',
      );
      await sleep(recordRetryBaseMs * 2 ** tries * Math.random());
    }
  }
}

/** What every log line about a payment carries. */
export const fieldsOf = ({ orderId, correlationId, eventId, paymentId, n }: ClaimedAttempt) => ({
  orderId,
  correlationId,
  eventId,
  paymentId,
  n,
});
