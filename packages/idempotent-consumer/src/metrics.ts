import type { ConsumerCounts } from './counts.ts';

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

/**
 * What a member measures: each of its {@link ConsumerCounts} as a counter, and the rest by its `status()`, which is
 * looked at every ten seconds. Nothing has labels, so there is one series of each, whatever the topics and keys are.
 * Adapter for `@prometheus-io/client`: `@orders/idempotent-consumer/prometheus`.
 */
export interface ConsumerMetrics extends Readonly<Record<keyof ConsumerCounts, Counter>> {
  /** Seconds of the transactions that took over a chunk; those that were rolled back are not in it. */
  readonly acceptSeconds: Histogram;
  /** Records behind the ends of this member's partitions: add up the members. */
  readonly lagRecords: Gauge;
  /** How far behind this member is in time: take the largest of the members. */
  readonly lagSeconds: Gauge;
  /** Age of the oldest record in hand; 0 when there is none. */
  readonly oldestNotAcceptedSeconds: Gauge;
  /** Stored events that are tried again or wait. Every member sees all of them, as of the next three. */
  readonly scheduledWaiting: Gauge;
  /** Dead letters that wait for a decision. */
  readonly deadLettersWaiting: Gauge;
  /** Keys with an event that holds the others up. */
  readonly blockedKeys: Gauge;
  /** Age of the oldest event that holds a key up; 0 when there is none. */
  readonly oldestScheduledSeconds: Gauge;
  /** Whether the consumer is paused: 1, else 0. */
  readonly paused: Gauge;
  /** Whether the kill switch of this member is open: 1, else 0. */
  readonly killSwitchOpen: Gauge;
}
