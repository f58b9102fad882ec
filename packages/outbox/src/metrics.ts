/** A number that grows, a number that goes up and down, and times; those of `@prometheus-io/client` fit. */
export interface Counter {
  inc(value: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  observe(value: number): void;
}

/** What a relay measures. Adapter for `@prometheus-io/client`: `@orders/outbox/prometheus`. */
export interface RelayMetrics {
  /** Events acknowledged by the broker. */
  readonly published: Counter;
  /** Events marked in the table. */
  readonly marked: Counter;
  /** Events whose mark was refused. */
  readonly fenced: Counter;
  /** Calls of the publisher after which something was not acknowledged. */
  readonly failures: Counter;
  /** Seconds of a call of the publisher. */
  readonly publishSeconds: Histogram;
  /** Unpublished events, counted up to the limit of `outboxStatus`; looked at every ten seconds. */
  readonly backlog: Gauge;
  /** Age of the oldest unpublished event, seconds; 0 when there is none. */
  readonly oldestAgeSeconds: Gauge;
  /** Aggregates that wait for a dead letter, or are being redriven; their events are not in the backlog. */
  readonly blockedAggregates: Gauge;
  /** Whether this relay is paused: 1, else 0. */
  readonly paused: Gauge;
  /** Partitions made. */
  readonly partitionsMade: Counter;
  /** Partitions dropped. */
  readonly partitionsDropped: Counter;
  /** Changes of the partitions that did not come about and will be tried again; the log says why. */
  readonly partitionsPutOff: Counter;
  /** Time since the beginning of the oldest partition, seconds; 0 when there is none. */
  readonly oldestPartitionAgeSeconds: Gauge;
}

const nothing = () => undefined;

/** Measures nothing. */
export const noMetrics: RelayMetrics = {
  published: { inc: nothing },
  marked: { inc: nothing },
  fenced: { inc: nothing },
  failures: { inc: nothing },
  publishSeconds: { observe: nothing },
  backlog: { set: nothing },
  oldestAgeSeconds: { set: nothing },
  blockedAggregates: { set: nothing },
  paused: { set: nothing },
  partitionsMade: { inc: nothing },
  partitionsDropped: { inc: nothing },
  partitionsPutOff: { inc: nothing },
  oldestPartitionAgeSeconds: { set: nothing },
};
