/** A topic of a bucket that failed, and waits for its next attempt. */
export interface ParkedTopic {
  readonly bucket: number;
  readonly topic: string;
  readonly failures: number;
  readonly retryInMs: number;
  readonly lastError: string;
}

/** What is known of it. */
export interface Parked {
  failures: number;
  retryAtMs: number;
  lastError: string;
  retrying: boolean;
  failedAtMs: number;
  /** Failures in a row between which other topics, or this one in other buckets, were well: it is not the broker. */
  aloneFailures: number;
  /**
   * Whether its rows are moved out of the hot read (`out`), and come from there since it is well again (`returning`);
   * until then the read passes over them.
   */
  rows: 'passed over' | 'out' | 'returning';
}

/** One bucket. */
export interface Lane {
  /** Topics of the bucket's ordinary batch that are in flight. */
  inFlight: number;
  parked: Map<string, Parked>;
}

/** Failures alone after which a topic's rows are worth moving. */
const aloneFailuresMax = 3;

/** As a rule there are none, and this is asked several times a poll. */
function withParked(lanes: ReadonlyMap<number, Lane>): [number, Lane][] {
  const found: [number, Lane][] = [];
  for (const entry of lanes) if (entry[1].parked.size > 0) found.push(entry);
  return found;
}

/** The questions about parked topics, and what is said of them from outside of the lanes. */
export function parkedTopicsOf(
  lanes: ReadonlyMap<number, Lane>,
  { laneOf, nowMs }: { laneOf: (bucket: number) => Lane; nowMs: () => number },
) {
  /**
   * Topics whose rows are in the way of others and should be moved out of the hot read: they go on failing while others
   * are well. When the broker is away, all fail, and nothing moves.
   */
  function inTheWay(): { bucket: number; topic: string }[] {
    return withParked(lanes).flatMap(([bucket, lane]) =>
      [...lane.parked].flatMap(([topic, { aloneFailures, rows, retrying }]) =>
        aloneFailures >= aloneFailuresMax && rows === 'passed over' && !retrying ? [{ bucket, topic }] : [],
      ),
    );
  }

  /** Rows of these topics are moved out, by us or by an owner before us. */
  function movedOut(topics: readonly { bucket: number; topic: string }[]): void {
    for (const { bucket, topic } of topics) {
      const { parked, inFlight } = laneOf(bucket);
      const known = parked.get(topic);
      if (known?.rows === 'passed over') known.rows = 'out';
      if (known !== undefined || inFlight > 0) continue; // it could be in flight with the others; the next time, then
      parked.set(topic, {
        failures: 0,
        retryAtMs: nowMs(),
        lastError: 'set aside by the relay that had the bucket before',
        retrying: false,
        failedAtMs: nowMs(),
        aloneFailures: 0,
        rows: 'out',
      });
    }
  }

  /** Where the rows of a topic are; undefined if it is not parked. */
  const rowsOf = (bucket: number, topic: string): Parked['rows'] | undefined =>
    lanes.get(bucket)?.parked.get(topic)?.rows;

  /** A parked topic of which nothing is left to publish. */
  function unpark(bucket: number, topic: string): void {
    lanes.get(bucket)?.parked.delete(topic);
  }

  /** Until the next retry of one of the buckets is due; Infinity if none waits. */
  function nextRetryInMs(buckets: readonly number[]): number {
    const waiting = withParked(lanes)
      .filter(([bucket]) => buckets.includes(bucket))
      .flatMap(([, { parked }]) => [...parked.values()].filter((one) => !one.retrying));
    return Math.max(0, Math.min(...waiting.map((one) => one.retryAtMs)) - nowMs());
  }

  function parkedTopics(): ParkedTopic[] {
    return withParked(lanes).flatMap(([bucket, lane]) =>
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

  return { inTheWay, movedOut, rowsOf, unpark, nextRetryInMs, parkedTopics };
}
