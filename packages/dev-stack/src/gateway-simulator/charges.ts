import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger, LedgerEntry } from './ledger.ts';
import type { SimulatorSettings } from './settings.ts';

/** What is to be charged; the same key must always come with the same. */
export interface ChargeRequest {
  reference: string;
  amountMinor: number;
  currency: string;
  paymentMethod: string;
}

export type ChargeResult =
  | { result: 'executed' | 'replayed'; entry: LedgerEntry }
  | { result: 'in-progress' } // the same key is being charged at this moment
  | { result: 'key-reused' }; // the key belongs to another request

type Decision = 'captured' | 'soft' | 'hard';

/** Payment methods that decide, whatever the mode and the success rate. */
const decidingMethods: Readonly<Record<string, Decision>> = {
  tok_sim_approve: 'captured',
  tok_sim_soft_decline: 'soft',
  tok_sim_hard_decline: 'hard',
};

const declineCodes = { soft: 'insufficient_funds', hard: 'stolen_card' } as const;

/**
 * The gateway's rules. A key is charged at most once, for ever: it is in flight or in the ledger.
 * `seed` makes the drawn outcomes repeatable: they depend on seed and key alone.
 */
export function createCharges(deps: { ledger: Ledger; seed: string }) {
  const { ledger, seed } = deps;
  const inFlight = new Map<string, ChargeRequest>();

  async function charge(
    key: string,
    request: ChargeRequest,
    settings: Readonly<SimulatorSettings>,
  ): Promise<ChargeResult> {
    const entry = ledger.find(key);
    const known = entry ?? inFlight.get(key);
    if (known !== undefined && !isSame(known, request)) return { result: 'key-reused' };
    if (entry !== undefined) return { result: 'replayed', entry };
    if (known !== undefined) return { result: 'in-progress' };
    inFlight.set(key, request);
    try {
      // Before the decision: a caller that is killed meanwhile is charged all the same.
      await sleep(settings.latencyMs);
      const executed = entryOf(key, request, decide(key, request, settings));
      ledger.append(executed);
      return { result: 'executed', entry: executed };
    } finally {
      inFlight.delete(key);
    }
  }

  function decide(key: string, request: ChargeRequest, settings: SimulatorSettings): Decision {
    const fixed = decidingMethods[request.paymentMethod];
    if (fixed !== undefined) return fixed;
    if (settings.mode === 'decline-soft') return 'soft';
    if (settings.mode === 'decline-hard') return 'hard';
    return draw(`${seed}:${key}`) < settings.successRate ? 'captured' : 'soft';
  }

  return { charge, find: ledger.find, inFlight: () => inFlight.size };
}

const isSame = (a: ChargeRequest, b: ChargeRequest): boolean =>
  a.reference === b.reference &&
  a.amountMinor === b.amountMinor &&
  a.currency === b.currency &&
  a.paymentMethod === b.paymentMethod;

function entryOf(key: string, request: ChargeRequest, decision: Decision): LedgerEntry {
  const outcome =
    decision === 'captured'
      ? { outcome: 'captured' as const, chargeId: `ch_${randomUUID()}` }
      : { outcome: 'declined' as const, code: declineCodes[decision], kind: decision };
  const { reference, amountMinor, currency, paymentMethod } = request;
  return {
    at: new Date().toISOString(),
    key,
    reference,
    ...outcome,
    amountMinor,
    currency,
    paymentMethod,
  };
}

/** A number in [0, 1), always the same for the same text. */
function draw(text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, 6) / 2 ** 48;
}
