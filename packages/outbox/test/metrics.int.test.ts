import * as prometheus from '@prometheus-io/client';
import * as promClient from 'prom-client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRelay } from '../src/index.ts';
import { createPromClientMetrics } from '../src/prom-client.ts';
import { createPrometheusMetrics } from '../src/prometheus.ts';
import { createMemoryBroker } from '../src/testing.ts';
import { eventsFor, type OutboxDatabase, openTestDatabase } from './fixture.ts';

let database: OutboxDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database?.close());

it('a relay counts through @prometheus-io/client what it publishes, marks, fails at, and what waits', async () => {
  await database.add([...eventsFor('counted', 30, 1), ...eventsFor('missing', 2, 1)]);
  await database.pool.query(`INSERT INTO outbox_blocked VALUES (63, 'thing', 'blocked', 'BLOCKED')`);
  const broker = createMemoryBroker();
  broker.createTopic('counted');
  await broker.publisher.connect();
  const registry = new prometheus.Registry();
  const metrics = createPrometheusMetrics({ registry });
  const relay = createRelay(
    { pool: database.pool, publisher: broker.publisher, metrics },
    { pollIntervalMs: 50 },
  );
  const value = async (name: string) => {
    const metric = await registry.getSingleMetric(`outbox_relay_${name}`)?.get();
    return metric?.values.find((one) => !('metricName' in one) || String(one.metricName).endsWith('_count'))
      ?.value;
  };
  await relay.start();
  await expect.poll(() => value('marked_total')).toBe(30);
  expect(await value('published_total')).toBe(30);
  expect(await value('fenced_total')).toBe(0);
  await expect.poll(() => value('publish_failures_total')).toBeGreaterThan(0);
  expect(await value('publish_seconds')).toBeGreaterThan(1);
  await expect.poll(() => value('backlog')).toBeGreaterThanOrEqual(2);
  expect(await value('oldest_unpublished_age_seconds')).toBeGreaterThan(0);
  expect(await value('oldest_partition_age_seconds')).toBeGreaterThan(0);
  expect(await value('blocked_aggregates')).toBe(1);
  expect(await value('paused')).toBe(0);
  await relay.pause();
  await expect.poll(() => value('paused')).toBe(1);
  await relay.stop();
});

it('the adapter for prom-client, the old name, makes the same metrics', async () => {
  const [old, now] = [new promClient.Registry(), new prometheus.Registry()];
  const made = [createPromClientMetrics({ registry: old }), createPrometheusMetrics({ registry: now })];
  for (const metrics of made) {
    metrics.published.inc(3);
    metrics.backlog.set(2);
    metrics.publishSeconds.observe(0.3);
  }
  expect(await now.metrics()).toContain('outbox_relay_published_total 3');
  expect(await old.metrics()).toBe(await now.metrics());
});
