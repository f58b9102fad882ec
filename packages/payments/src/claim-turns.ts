import { hostname } from 'node:os';
import { inTransaction } from '@orders/db';
import { v7 as uuidv7 } from 'uuid';
import { type ChargeDeps, chargeClaimed, fieldsOf } from './charge.ts';
import { type Claim, type ClaimedAttempt, claimPayments } from './claim.ts';
import { logRecorded } from './narrate.ts';

/** Claims payments into free slots and charges them. */
export interface ClaimTurns {
  /** Fills the free slots once; says whether there was nothing to do. */
  turn(): Promise<boolean>;
  /** How many payments are in hand. */
  inFlight(): number;
  /** Resolves when none is in hand. */
  settled(): Promise<void>;
}

/**
 * @param hooks `slotFreed` after each payment; `recorded` after a commit that wrote events
 */
export function createClaimTurns(
  deps: ChargeDeps,
  hooks: { readonly slotFreed: () => void; readonly recorded: () => void },
): ClaimTurns {
  const { crashPoint, db, logger, options } = deps;
  const owner = `${hostname()}:${process.pid}:${uuidv7().slice(-6)}`;
  const inFlight = new Set<Promise<void>>();
  let afterTenant = '';
  let takenInRound = 0;

  async function claim(slots: number): Promise<Claim> {
    const claimed = await inTransaction(db, async (tx) => {
      const result = await claimPayments(tx, { ...options, owner, slots, afterTenant });
      if (result.attempts.length > 0) crashPoint('payments.claim.before-commit');
      return result;
    });
    const { attempts, refusedByIndex } = claimed;
    if (attempts.length > 0) crashPoint('payments.claim.after-commit');
    if (refusedByIndex > 0) {
      logger.error({ refusedByIndex }, 'the index refused second attempts of payments with one open or won');
    }
    return claimed;
  }

  async function charge(claimed: ClaimedAttempt, claimedAtMs: number): Promise<void> {
    const fields = fieldsOf(claimed);
    try {
      logger.info({ ...fields, action: claimed.action }, 'payment claimed');
      const recorded = await chargeClaimed(deps, claimed, claimedAtMs);
      if (recorded === null) return logger.warn(fields, 'lease lost before anything was sent');
      logRecorded(logger, fields, recorded);
      if (recorded.transitions.length > 0) hooks.recorded();
    } catch (err) {
      logger.error({ ...fields, err }, 'charging failed; its lease will run out and the sweeper takes over');
    }
  }

  async function turn(): Promise<boolean> {
    const slots = options.concurrencyMax - inFlight.size;
    if (slots <= 0) return true;
    const claimedAtMs = performance.now();
    const { attempts, refusedByIndex, lastTenant } = await claim(slots);
    for (const claimed of attempts) {
      const work = charge(claimed, claimedAtMs).finally(() => {
        inFlight.delete(work);
        hooks.slotFreed();
      });
      inFlight.add(work);
    }
    takenInRound += attempts.length + refusedByIndex;
    afterTenant = lastTenant ?? '';
    if (lastTenant !== null) return false;
    // Every tenant has had its turn; if that led to nothing, the next round may wait.
    const idle = takenInRound === 0;
    takenInRound = 0;
    return idle;
  }

  return {
    turn,
    inFlight: () => inFlight.size,
    settled: async () => void (await Promise.all(inFlight)),
  };
}
