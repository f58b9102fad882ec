import type { Counter, Gauge, Histogram, RelayMetrics } from './metrics.ts';

interface Description<R> {
  readonly name: string;
  readonly help: string;
  readonly registers: R[];
}

/** What `@prometheus-io/client` and its predecessor `prom-client` have in common. */
export interface MetricsClient<R> {
  readonly Counter: new (description: Description<R>) => Counter;
  readonly Gauge: new (description: Description<R>) => Gauge;
  readonly Histogram: new (description: Description<R> & { readonly buckets: number[] }) => Histogram;
}

/** A relay's metrics, made with this client and registered. */
export function registeredMetrics<R>(
  client: MetricsClient<R>,
  { registry, prefix = 'outbox_relay_' }: { readonly registry: R; readonly prefix?: string },
): RelayMetrics {
  const described = (name: string, help: string) => ({ name: prefix + name, help, registers: [registry] });
  const counter = (name: string, help: string) => new client.Counter(described(name, help));
  const gauge = (name: string, help: string) => new client.Gauge(described(name, help));
  return {
    published: counter('published_total', 'Events acknowledged by the broker'),
    marked: counter('marked_total', 'Events marked as published'),
    fenced: counter('fenced_total', 'Events whose mark was refused because their bucket has another owner'),
    failures: counter(
      'publish_failures_total',
      'Calls of the publisher after which something was not acknowledged',
    ),
    publishSeconds: new client.Histogram({
      ...described('publish_seconds', 'Time of a call of the publisher'),
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
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
