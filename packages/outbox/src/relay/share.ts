import { bucketCount } from '../bucket.ts';

/**
 * How many buckets a relay should own: all relays that compute this from the same list agree, the shares differ by
 * one at most, and together they are all buckets.
 */
export function shareOf(relayIds: readonly string[], relayId: string): number {
  const place = [...relayIds].sort().indexOf(relayId);
  if (place < 0) return 0;
  const floor = Math.floor(bucketCount / relayIds.length);
  return place < bucketCount % relayIds.length ? floor + 1 : floor;
}
