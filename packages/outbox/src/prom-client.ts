import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RelayMetrics } from './metrics.ts';

/** Where the metrics are registered. */
export interface PromClientOptions {
  readonly registry: Registry;
  /** Start of all names (`outbox_relay_`). */
  readonly prefix?: string;
}

/** A relay's metrics in prom-client; make one for each registry, and give it to `createRelay`. */
export function createPromClientMetrics({
  registry,
  prefix = 'outbox_relay_',
}: PromClientOptions): RelayMetrics {
  const registers = [registry];
  const counter = (name: string, help: string) => new Counter({ name: prefix + name, help, registers });
  const gauge = (name: string, help: string) => new Gauge({ name: prefix + name, help, registers });
  return {
    published: counter('published_total', 'Events acknowledged by the broker'),
    marked: counter('marked_total', 'Events marked as published'),
    fenced: counter('fenced_total', 'Events whose mark was refused because their bucket has another owner'),
    failures: counter(
      'publish_failures_total',
      'Calls of the publisher after which something was not acknowledged',
    ),
    publishSeconds: new Histogram({
      name: `${prefix}publish_seconds`,
      help: 'Time of a call of the publisher',
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
      registers,
    }),
    backlog: gauge('backlog', 'Unpublished events, counted up to a limit'),
    oldestAgeSeconds: gauge('oldest_unpublished_age_seconds', 'Age of the oldest unpublished event'),
    blockedAggregates: gauge('blocked_aggregates', 'Aggregates that wait for a dead letter'),
    paused: gauge('paused', '1 while the relay is paused'),
    partitionsMade: counter('partitions_made_total', 'Partitions made'),
    partitionsDropped: counter('partitions_dropped_total', 'Partitions dropped'),
    partitionsPutOff: counter(
      'partitions_put_off_total',
      'Changes of the partitions that did not come about and will be tried again',
    ),
    oldestPartitionAgeSeconds: gauge(
      'oldest_partition_age_seconds',
      'Time since the beginning of the oldest partition',
    ),
  };
}
