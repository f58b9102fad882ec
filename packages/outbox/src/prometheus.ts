import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client';
import type { RelayMetrics } from './metrics.ts';
import { registeredMetrics } from './metrics-registry.ts';

/** Where the metrics are registered. */
export interface PrometheusOptions {
  readonly registry: Registry;
  /** Start of all names (`outbox_relay_`). */
  readonly prefix?: string;
}

/** A relay's metrics in `@prometheus-io/client`; make one for each registry, and give it to `createRelay`. */
export const createPrometheusMetrics = (options: PrometheusOptions): RelayMetrics =>
  registeredMetrics<Registry>({ Counter, Gauge, Histogram }, options);
