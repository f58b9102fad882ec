import { backoffMs } from './backoff.ts';
import type { NotAcknowledged } from './flight.ts';
import type { ReadRequest } from './outbox-rows.ts';
import { type Lane, parkedTopicsOf } from './parked-topics.ts';
import { createPassingOver } from './passing-over.ts';

/**
 * What is in flight and what waits, per bucket. Of a bucket at most one batch is in flight, so that a later event of
 * a key never overtakes an earlier one. A topic that fails is parked: the bucket goes on without its rows, and they
 * are tried again by themselves, likewise one batch at a time, for ever.
 */
export function createLanes(
  limits: { backoffBaseMs: number; backoffMaxMs: number },
  nowMs: () => number = () => performance.now(),
) {
  const lanes = new Map<number, Lane>();
  const passingOver = createPassingOver(nowMs);
  let wellMs = Number.NEGATIVE_INFINITY;
  const laneOf = (bucket: number): Lane => {
    const lane = lanes.get(bucket) ?? { inFlight: 0, parked: new Map() };
    lanes.set(bucket, lane);
    return lane;
  };

  /** Whether a batch of it is in flight, so that nothing can be read but topics that are parked. */
  const isFlying = (bucket: number): boolean => (lanes.get(bucket)?.inFlight ?? 0) > 0;

  const isIdle = (bucket: number): boolean =>
    !isFlying(bucket) && ![...(lanes.get(bucket)?.parked.values() ?? [])].some((one) => one.retrying);

  function plan(buckets: readonly number[]): ReadRequest[] {
    const requests: ReadRequest[] = [];
    for (const bucket of buckets) {
      const { inFlight, parked } = laneOf(bucket);
      const passedOver = [...parked].filter(([, one]) => one.rows !== 'out').map(([topic]) => topic);
      if (inFlight === 0 && passingOver.isDue(passedOver))
        requests.push({ bucket, topics: passedOver, only: false });
      for (const [topic, one] of parked) {
        if (!one.retrying && one.retryAtMs <= nowMs()) requests.push({ bucket, topics: [topic], only: true });
      }
    }
    return requests;
  }

  function depart(bucket: number, topic: string): void {
    const lane = laneOf(bucket);
    const parked = lane.parked.get(topic);
    if (parked === undefined) lane.inFlight += 1;
    else parked.retrying = true;
  }

  /** @param error none: the topic is well; `not sent`, because of the bucket: it is tried soon, and nothing is known */
  function arrive(bucket: number, topic: string, error: NotAcknowledged | undefined): void {
    const lane = laneOf(bucket);
    const parked = lane.parked.get(topic);
    if (parked === undefined) lane.inFlight -= 1;
    if (error === 'not sent') {
      if (parked) Object.assign(parked, { retrying: false, retryAtMs: nowMs() + limits.backoffBaseMs });
      return;
    }
    if (error === undefined) {
      wellMs = nowMs();
      if (parked === undefined || parked.rows === 'passed over') lane.parked.delete(topic);
      else Object.assign(parked, { failures: 0, retryAtMs: wellMs, retrying: false, rows: 'returning' });
      return;
    }
    const failures = (parked?.failures ?? 0) + 1;
    const wasAlone = parked !== undefined && wellMs > parked.failedAtMs;
    lane.parked.set(topic, {
      failures,
      retryAtMs: nowMs() + backoffMs(failures, { baseMs: limits.backoffBaseMs, maxMs: limits.backoffMaxMs }),
      lastError: error.message,
      retrying: false,
      failedAtMs: nowMs(),
      aloneFailures: wasAlone ? parked.aloneFailures + 1 : 0,
      rows: parked === undefined || parked.rows === 'passed over' ? 'passed over' : 'out',
    });
  }

  /** Forgets the parked topics of buckets that are not ours any more. */
  function keepOnly(buckets: readonly number[]): void {
    for (const bucket of lanes.keys()) {
      if (!buckets.includes(bucket) && isIdle(bucket)) lanes.delete(bucket);
    }
  }

  return {
    isIdle,
    isFlying,
    plan,
    /** For every read of what was planned. */
    watch: passingOver.watch,
    depart,
    arrive,
    keepOnly,
    ...parkedTopicsOf(lanes, { laneOf, nowMs }),
  };
}

export type Lanes = ReturnType<typeof createLanes>;
