import { inTransaction } from '@orders/db';
import {
  cancelledPayments,
  expiredLeases,
  type Found,
  type Kind,
  lostEvents,
  type Mended,
  type SweepDeps,
  sweepBatchMax,
  unpaidCaptures,
  unreviewedOrders,
} from './mends.ts';

/** What a sweep did. */
export interface Swept extends Mended {
  /** Whether there is more to be mended: sweep again at once. */
  readonly more: boolean;
}

/** Finds what fell between two steps and puts it back on its way. */
export interface Sweeper {
  /** Looks for everything once, at most `sweepBatchMax` of each kind. Ends soon after `signal` is aborted. */
  sweep(signal?: AbortSignal): Promise<Swept>;
}

const idsOf = ({ orderId, eventId, correlationId, paymentId, n }: Found) => ({
  orderId,
  eventId,
  correlationId,
  paymentId,
  n,
});

const firstKey = '00000000-0000-0000-0000-000000000000';

/**
 * Any number of workers may sweep at once: each finding is decided again under the locks of its order and payment.
 * Nothing hides anything: a kind that cannot be looked for, a finding that cannot be mended, and a whole batch of
 * those are logged, and the others get their turn.
 */
export function createSweeper(deps: SweepDeps): Sweeper {
  const afterOf = new Map<string, string>();

  async function sweepKind<F extends Found>(kind: Kind<F>, signal?: AbortSignal) {
    if (signal?.aborted) return { mended: 0, more: false };
    let mended = 0;
    const after = afterOf.get(kind.counter) ?? firstKey;
    const found = await find(kind, after);
    const isFull = found.length === sweepBatchMax;
    afterOf.set(kind.counter, firstKey);
    for (const finding of found) {
      if (signal?.aborted) break;
      if (await mend(kind, finding)) mended++;
      // Those that cannot be mended must not hide what is behind them.
      if (isFull) afterOf.set(kind.counter, kind.keyOf(finding));
    }
    return { mended, more: isFull && mended > 0 };
  }

  async function find<F extends Found>(kind: Kind<F>, after: string): Promise<F[]> {
    try {
      return await kind.find(deps, after);
    } catch (err) {
      deps.logger.error({ err }, `could not look for: ${kind.what}; the next sweep tries again`);
      return [];
    }
  }

  /** In a transaction of its own: one that cannot be mended must not keep the others from it. */
  async function mend<F extends Found>(kind: Kind<F>, finding: F): Promise<boolean> {
    try {
      if (!(await inTransaction(deps.db, (tx) => kind.mend(tx, deps, finding)))) return false;
      deps.logger.warn(idsOf(finding), `swept: ${kind.what}`);
      return true;
    } catch (err) {
      deps.logger.error(
        { ...idsOf(finding), err },
        `could not sweep: ${kind.what}; a later sweep tries again`,
      );
      return false;
    }
  }

  return {
    async sweep(signal) {
      const results = {
        expiredLeases: await sweepKind(expiredLeases, signal),
        lostEvents: await sweepKind(lostEvents, signal),
        unpaidCaptures: await sweepKind(unpaidCaptures, signal),
        cancelled: await sweepKind(cancelledPayments, signal),
        unreviewedOrders: await sweepKind(unreviewedOrders, signal),
      };
      return {
        expiredLeases: results.expiredLeases.mended,
        lostEvents: results.lostEvents.mended,
        unpaidCaptures: results.unpaidCaptures.mended,
        cancelled: results.cancelled.mended,
        unreviewedOrders: results.unreviewedOrders.mended,
        more: Object.values(results).some((result) => result.more),
      };
    },
  };
}
