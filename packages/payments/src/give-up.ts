import type { Tx } from '@orders/db';
import { databaseNow } from './database-time.ts';
import type { BreakKind } from './decision.ts';
import { endLease, openBreak } from './payment-writes.ts';
import type { AttemptRef } from './situation.ts';

/** A leased payment and its open attempt, if it has one. */
export type LeaseRef = Pick<AttemptRef, 'paymentId' | 'token'> & { readonly n: number | null };

/**
 * Ends an expired lease in REVIEW, with a break: nobody will work on the payment by itself any more. Touches the
 * payment alone, so that it succeeds whatever is wrong with the rest; the sweeper takes the order to REVIEW.
 * @returns false when the lease is another by now, or was renewed
 */
export async function giveToReview(
  tx: Tx,
  ref: LeaseRef,
  kind: BreakKind,
  detail: Record<string, unknown>,
): Promise<boolean> {
  const payment = await tx
    .selectFrom('payments')
    .selectAll()
    .where('id', '=', ref.paymentId)
    .where('lease_token', '=', ref.token)
    .where('state', '=', 'LEASED')
    .where('lease_until', '<', databaseNow)
    .forUpdate()
    .executeTakeFirst();
  if (payment === undefined) return false;
  await endLease(tx, { payment }, { state: 'REVIEW' });
  await openBreak(tx, { payment, attempt: ref }, kind, detail);
  return true;
}
