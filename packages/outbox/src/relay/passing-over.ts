import type { Found, ReadRequest } from './outbox-rows.ts';

/** Reads in vain take a tenth of the time at most. */
const pauseFactor = 9;

/**
 * Reads that pass over the rows of topics that fail look at all of those. When the broker is away they are the whole
 * backlog, which nothing sets aside: one that found nothing else is repeated after a pause, the longer the more it took.
 */
export function createPassingOver(nowMs: () => number) {
  let pausedUntilMs = Number.NEGATIVE_INFINITY;

  /** Whether a bucket may be read past the rows of these topics. */
  const isDue = (topics: readonly string[]): boolean => topics.length === 0 || nowMs() >= pausedUntilMs;

  async function watch(requests: readonly ReadRequest[], read: () => Promise<Found>): Promise<Found> {
    const startMs = nowMs();
    const found = await read();
    const passing = requests.filter(({ only, topics }) => !only && topics.length > 0);
    const passedOver = new Map(passing.map(({ bucket, topics }) => [bucket, topics]));
    const isOther = ({ bucket, record }: Found['rows'][number]) =>
      passedOver.get(bucket)?.includes(record.topic) === false;
    if (passing.length > 0 && !found.rows.some(isOther))
      pausedUntilMs = nowMs() + (nowMs() - startMs) * pauseFactor;
    return found;
  }

  return { isDue, watch };
}
