import type { Logger } from '../logger.ts';
import { noMetrics, type RelayMetrics } from '../metrics.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';
import { createDefaultPartition } from './default-partition.ts';
import type { PartitionSettings } from './options.ts';
import { createPartitionMaker } from './partition-maker.ts';
import { createPartitionReport } from './partition-report.ts';
import type { ScriptResult } from './partition-script.ts';
import { createPartitionStore, type PartitionView } from './partition-store.ts';

/** What the rounds need. */
export interface PartitionKeeperDeps {
  readonly pool: PoolLike;
  readonly names: OutboxNames;
  readonly relayId: string;
  readonly logger: Logger;
  readonly metrics?: RelayMetrics;
  readonly crashPoint: (point: string) => void;
  /** How long a change of the partitions may keep writers waiting (100). */
  readonly lockTimeoutMs?: number;
}

/** Makes partitions ahead, and drops those that are older than the retention and hold nothing that is needed. */
export function createPartitionKeeper(deps: PartitionKeeperDeps, settings: PartitionSettings) {
  const { pool, names, relayId, crashPoint, lockTimeoutMs = 100 } = deps;
  const { retentionMs } = settings;
  const store = createPartitionStore(pool, names, lockTimeoutMs);
  const defaultPartition = createDefaultPartition(pool, names, lockTimeoutMs);
  const report = createPartitionReport(deps.logger, deps.metrics ?? noMetrics);
  const maker = createPartitionMaker({ store, defaultPartition, report, crashPoint }, settings);

  /** One relay's turn of this interval, if it is this one's. @returns how long to wait for the next */
  async function step(): Promise<number> {
    const view = await store.look();
    // Who may not do it leaves the turn to others.
    if (view.forbidden !== null) report({ outcome: 'forbidden', reason: view.forbidden }, 'made', {});
    else if (await store.claim(relayId, settings.partitionIntervalMs)) await round(view);
    return settings.partitionIntervalMs;
  }

  async function round(view: PartitionView): Promise<void> {
    await maker.makeMissing(view);
    await dropOld(view);
  }

  async function dropOld(view: PartitionView): Promise<void> {
    const retired = await defaultPartition.retiredTables();
    const old = [
      ...view.partitions.filter(({ toMs }) => toMs + retentionMs <= view.nowMs),
      ...retired.filter(({ retiredAtMs }) => retiredAtMs + retentionMs <= view.nowMs),
    ];
    for (const { table } of old) {
      // A lock that was not to be had leaves the rest for the next round.
      if ((await drop(view, table)) === 'busy') return;
    }
  }

  async function drop(view: PartitionView, table: string): Promise<ScriptResult['outcome']> {
    const looked = await store.lookInto(table);
    crashPoint('relay.partition.drop.before');
    const result = looked.outcome === 'done' ? await store.drop(view, table) : looked;
    crashPoint('relay.partition.drop.after');
    report(result, 'dropped', { partition: table });
    return result.outcome;
  }

  return { step, round: async () => round(await store.look()) };
}
