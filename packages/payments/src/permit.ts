import type { Tx } from '@orders/db';
import { sql } from 'kysely';
import { afterMs, databaseNow, msUntil } from './database-time.ts';
import type { AttemptRef } from './situation.ts';

/** Whether a key may be sent once more. `callWithinMs`: how soon the call must start. */
export type Permit =
  | { readonly granted: true; readonly callWithinMs: number }
  | { readonly granted: false; readonly because: 'lease-lost' | 'key-too-old' };

/**
 * Allows one more send of an open attempt whose key the gateway did not know, and renews the lease for it. A send is
 * counted before it happens: whoever later judges a decline must know that another request may be under way.
 */
export async function permitResend(
  tx: Tx,
  ref: AttemptRef,
  options: {
    readonly leaseDurationMs: number;
    readonly keyLifetimeMs: number;
    readonly keyLifetimeMarginMs: number;
  },
): Promise<Permit> {
  const leased = await tx
    .updateTable('payments')
    .set({ lease_until: afterMs(options.leaseDurationMs), updated_at: databaseNow })
    .where('id', '=', ref.paymentId)
    .where('lease_token', '=', ref.token)
    .where('state', '=', 'LEASED')
    .executeTakeFirst();
  if (leased.numUpdatedRows === 0n) return { granted: false, because: 'lease-lost' };

  const sendableMs = options.keyLifetimeMs - options.keyLifetimeMarginMs;
  const tooOldAt = sql<Date>`(first_sent_at + ${sendableMs}::double precision * interval '1 millisecond')`;
  const permit = await tx
    .updateTable('payment_attempts')
    .set((eb) => ({ permits: eb('permits', '+', 1), last_sent_at: databaseNow }))
    .where('payment_id', '=', ref.paymentId)
    .where('n', '=', ref.n)
    .where('state', 'in', ['SENT', 'UNKNOWN'])
    .where(tooOldAt, '>', databaseNow)
    .returning(msUntil(tooOldAt).as('key_left_ms'))
    .executeTakeFirst();
  if (permit === undefined) return { granted: false, because: 'key-too-old' };
  return { granted: true, callWithinMs: Math.min(options.leaseDurationMs, permit.key_left_ms) };
}
