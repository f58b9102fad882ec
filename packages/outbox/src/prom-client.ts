import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RelayMetrics } from './metrics.ts';
import { registeredMetrics } from './metrics-registry.ts';

/** Where the metrics are registered. */
export interface PromClientOptions {
  readonly registry: Registry;
  /** Start of all names (`outbox_relay_`). */
  readonly prefix?: string;
}

/**
 * A relay's metrics in prom-client.
 * @deprecated prom-client goes on as `@prometheus-io/client`: use `createPrometheusMetrics` of
 * `@orders/outbox/prometheus`. This one leaves with the next major version.
 */
export const createPromClientMetrics = (options: PromClientOptions): RelayMetrics =>
  registeredMetrics<Registry>({ Counter, Gauge, Histogram }, options);
