import type { Logger } from '../logger.ts';
import type { RelayMetrics } from '../metrics.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';
import type { BucketLeases } from './bucket-leases.ts';
import type { RelayCounts } from './counts.ts';
import { type Loop, startLoop } from './loop.ts';
import { createLowWaterMark } from './low-water.ts';
import type { RelaySettings } from './options.ts';
import { createPartitionKeeper } from './partition-keeper.ts';
import { startProgressLoop } from './progress-loop.ts';
import { startStatusLoop } from './status-loop.ts';

/**
 * What a relay does beside publishing: partitions, the low-water mark, what it tells.
 * @param deps `isMeasured`: whether anybody looks at the gauges
 */
export function startUpkeep(
  deps: {
    pool: PoolLike;
    names: OutboxNames;
    leases: Pick<BucketLeases, 'holds' | 'relayId'>;
    counts: RelayCounts;
    metrics: RelayMetrics;
    isMeasured: boolean;
    logger: Logger;
    crashPoint: (point: string) => void;
  },
  settings: RelaySettings,
): Pick<Loop, 'stop'> {
  const { pool, names, leases, counts, metrics, logger, crashPoint } = deps;
  const { relayId } = leases;
  const keeper = createPartitionKeeper({ pool, names, relayId, logger, metrics, crashPoint }, settings);
  const partitions = startLoop({
    name: 'making and dropping partitions',
    // Nothing is dropped from an outbox that this relay does not publish.
    step: async () => (leases.holds() ? keeper.step() : settings.heartbeatIntervalMs),
    errorBackoffMaxMs: settings.partitionIntervalMs,
    logger,
  });
  const lowWater = startLoop({
    name: 'advancing the low-water mark',
    step: createLowWaterMark(pool, names, relayId, settings.lowWaterIntervalMs).step,
    errorBackoffMaxMs: 5_000,
    logger,
  });
  const loops = [partitions, lowWater, startProgressLoop(counts, relayId, logger)];
  if (deps.isMeasured) loops.push(startStatusLoop({ pool, logger, metrics }, settings.schema));
  return {
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}
