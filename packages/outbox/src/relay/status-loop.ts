import type { Logger } from '../logger.ts';
import type { RelayMetrics } from '../metrics.ts';
import type { PoolLike } from '../postgres.ts';
import { outboxStatus } from '../status.ts';
import { type Loop, startLoop } from './loop.ts';

const statusIntervalMs = 10_000;

/** Keeps the gauges of backlog, blocked aggregates and partitions; every relay sees the whole outbox, so take their maximum, not their sum. */
export function startStatusLoop(
  deps: {
    pool: PoolLike;
    logger: Logger;
    metrics: Pick<
      RelayMetrics,
      'backlog' | 'oldestAgeSeconds' | 'blockedAggregates' | 'oldestPartitionAgeSeconds'
    >;
  },
  schema: string | undefined,
): Pick<Loop, 'stop'> {
  const { pool, logger, metrics } = deps;
  async function step(): Promise<number> {
    const status = await outboxStatus(pool, schema === undefined ? {} : { schema });
    metrics.backlog.set(status.backlog);
    metrics.oldestAgeSeconds.set((status.oldestUnpublishedAgeMs ?? 0) / 1000);
    metrics.blockedAggregates.set(status.blockedAggregates);
    metrics.oldestPartitionAgeSeconds.set((status.partitions.oldestAgeMs ?? 0) / 1000);
    return statusIntervalMs;
  }
  return startLoop({ name: 'looking at the backlog', step, errorBackoffMaxMs: statusIntervalMs, logger });
}
