import { backoffMs } from './backoff.ts';

/** What to read of one bucket: the rows of these topics only, or of all others. */
export interface ReadRequest {
  readonly bucket: number;
  readonly topics: readonly string[];
  readonly only: boolean;
}

/** A topic of a bucket that failed, and waits for its next attempt. */
export interface ParkedTopic {
  readonly bucket: number;
  readonly topic: string;
  readonly failures: number;
  readonly retryInMs: number;
  readonly lastError: string;
}

interface Parked {
  failures: number;
  retryAtMs: number;
  lastError: string;
  retrying: boolean;
}

interface Lane {
  /** Topics of the bucket's ordinary batch that are in flight. */
  inFlight: number;
  parked: Map<string, Parked>;
}

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
  const laneOf = (bucket: number): Lane => {
    let lane = lanes.get(bucket);
    if (lane === undefined) {
      lane = { inFlight: 0, parked: new Map() };
      lanes.set(bucket, lane);
    }
    return lane;
  };

  const isIdle = (bucket: number): boolean => {
    const lane = lanes.get(bucket);
    return lane === undefined || (lane.inFlight === 0 && ![...lane.parked.values()].some((p) => p.retrying));
  };

  function plan(buckets: readonly number[]): ReadRequest[] {
    const requests: ReadRequest[] = [];
    for (const bucket of buckets) {
      const { inFlight, parked } = laneOf(bucket);
      if (inFlight === 0) requests.push({ bucket, topics: [...parked.keys()], only: false });
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

  /** @param error why not all of it was acknowledged; none: the topic is well */
  function arrive(bucket: number, topic: string, error: Error | undefined): void {
    const lane = laneOf(bucket);
    const parked = lane.parked.get(topic);
    if (parked === undefined) lane.inFlight -= 1;
    if (error === undefined) {
      lane.parked.delete(topic);
      return;
    }
    const failures = (parked?.failures ?? 0) + 1;
    const waitMs = backoffMs(failures, { baseMs: limits.backoffBaseMs, maxMs: limits.backoffMaxMs });
    const retryAtMs = nowMs() + waitMs;
    lane.parked.set(topic, { failures, retryAtMs, lastError: error.message, retrying: false });
  }

  /** A parked topic of which nothing is left to publish. */
  function unpark(bucket: number, topic: string): void {
    lanes.get(bucket)?.parked.delete(topic);
  }

  /** Forgets the parked topics of buckets that are not ours any more. */
  function keepOnly(buckets: readonly number[]): void {
    for (const bucket of lanes.keys()) {
      if (!buckets.includes(bucket) && isIdle(bucket)) lanes.delete(bucket);
    }
  }

  /** Until the next retry of one of the buckets is due; Infinity if none waits. */
  function nextRetryInMs(buckets: readonly number[]): number {
    const waiting = buckets.flatMap((bucket) =>
      [...(lanes.get(bucket)?.parked.values() ?? [])].filter((one) => !one.retrying),
    );
    return Math.max(0, Math.min(...waiting.map((one) => one.retryAtMs)) - nowMs());
  }

  function parkedTopics(): ParkedTopic[] {
    return [...lanes].flatMap(([bucket, lane]) =>
      [...lane.parked].map(([topic, { failures, retryAtMs, lastError }]) => {
        return {
          bucket,
          topic,
          failures,
          retryInMs: Math.max(0, Math.round(retryAtMs - nowMs())),
          lastError,
        };
      }),
    );
  }

  return { isIdle, plan, depart, arrive, unpark, keepOnly, nextRetryInMs, parkedTopics };
}

export type Lanes = ReturnType<typeof createLanes>;
