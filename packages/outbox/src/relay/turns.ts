import { bucketCount } from '../bucket.ts';
import type { RelaySettings } from './options.ts';
import type { Found, ReadRequest } from './outbox-rows.ts';

/**
 * Who is read next, and how much of each. A read ends when it has enough rows, so whoever had no turn comes first the
 * next time; and what it may take of a bucket is less, the more buckets have a backlog: then each read takes rows from
 * many of them, which are written near each other, and nobody's events wait for the whole backlog of somebody else.
 */
export function createTurns(
  { batchSizeMax, inFlightMax }: Pick<RelaySettings, 'batchSizeMax' | 'inFlightMax'>,
  readSizeMax: number,
) {
  const eachMin = Math.ceil(inFlightMax / bucketCount);
  const backlogged = new Set<number>();
  let nextBucket = 0;

  /** @param requests in order of bucket */
  function inTurn(requests: readonly ReadRequest[]): ReadRequest[] {
    const isNext = ({ bucket }: ReadRequest) => bucket >= nextBucket;
    return [...requests.filter(isNext), ...requests.filter((request) => !isNext(request))];
  }

  function limitEach(buckets: readonly number[]): number {
    const sharing = buckets.filter((bucket) => backlogged.has(bucket)).length;
    return Math.min(batchSizeMax, Math.max(eachMin, Math.floor(readSizeMax / Math.max(1, sharing))));
  }

  /** @returns buckets of which there may be more */
  function taken(requests: readonly ReadRequest[], found: Found, limit: number): number[] {
    if (found.rows.length === 0 && backlogged.size === 0) return [];
    const ofBucket = Map.groupBy(found.rows, (row) => row.bucket);
    const isFull = ({ bucket }: ReadRequest) => (ofBucket.get(bucket)?.length ?? 0) >= limit;
    for (const request of found.answered) {
      if (isFull(request)) backlogged.add(request.bucket);
      else backlogged.delete(request.bucket);
    }
    const unanswered = requests.slice(found.answered.length);
    const [cutOff] = unanswered;
    if (cutOff !== undefined) {
      backlogged.add(cutOff.bucket);
      nextBucket = cutOff.bucket;
    }
    return [...found.answered.filter(isFull), ...unanswered].map(({ bucket }) => bucket);
  }

  return { inTurn, limitEach, taken };
}
