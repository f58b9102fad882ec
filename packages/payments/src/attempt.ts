import { createHash } from 'node:crypto';
import type { PaymentAttemptState } from '@orders/db';
import type { ChargeRequest } from './gateway.ts';

/** States in which the gateway may still capture. */
export const isOpen = (state: PaymentAttemptState): boolean => state === 'SENT' || state === 'UNKNOWN';

/** States that forbid another attempt; the partial unique index says the same. */
export const isOpenOrWon = (state: PaymentAttemptState): boolean => isOpen(state) || state === 'SUCCEEDED';

/** The key of an attempt: made once, stored with it, and read from there ever after. */
export const idempotencyKeyOf = (paymentId: string, n: number): string => `${paymentId}:${n}`;

/** SHA-256 over what is charged, hex; stored with the attempt, so that a key can never be sent with another body. */
export function fingerprintOf(request: Omit<ChargeRequest, 'idempotencyKey'>): string {
  const { reference, amountMinor, currency, paymentMethod } = request;
  return createHash('sha256')
    .update(JSON.stringify([reference, amountMinor, currency, paymentMethod]))
    .digest('hex');
}
