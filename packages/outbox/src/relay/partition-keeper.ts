import { OutboxError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { RelaySettings } from './options.ts';
import { gapsInAll, slotsAhead, type TimeRange } from './partition-ranges.ts';
import type { ScriptResult } from './partition-script.ts';
import type { Partition, PartitionStore, PartitionView } from './partition-store.ts';

/** What the rounds need. */
export interface PartitionKeeperDeps {
  readonly store: PartitionStore;
  readonly relayId: string;
  readonly logger: Logger;
  readonly crashPoint: (point: string) => void;
}

/** How long a change of the partitions may keep writers waiting. */
export const partitionLockTimeoutMs = 100;

/** Makes partitions ahead, and drops those that are older than the retention and hold nothing that is needed. */
export function createPartitionKeeper(
  deps: PartitionKeeperDeps,
  settings: Pick<
    RelaySettings,
    'retentionMs' | 'partitionWidthMs' | 'partitionsAhead' | 'partitionIntervalMs'
  >,
) {
  const { store, relayId, logger, crashPoint } = deps;
  /** What was last said about a partition, so that it is not said again every minute. */
  const told = new Map<string, string>();

  /** One relay's turn of this interval, if it is this one's. @returns how long to wait for the next */
  async function step(): Promise<number> {
    if (await store.claim(relayId, settings.partitionIntervalMs)) await round();
    return settings.partitionIntervalMs;
  }

  async function round(): Promise<void> {
    const view = await store.look();
    const wanted = slotsAhead(view.nowMs, settings.partitionWidthMs, settings.partitionsAhead);
    for (const range of gapsInAll(wanted, view.partitions)) await make(view, range);
    for (const partition of view.partitions) {
      if (partition.toMs + settings.retentionMs > view.nowMs) continue;
      // Locks are asked for one after the other; one that was not to be had leaves the rest for the next round.
      if ((await drop(view, partition)) === 'busy') break;
    }
  }

  async function make(view: PartitionView, range: TimeRange): Promise<void> {
    crashPoint('relay.partition.create.before');
    const result = await store.create(view, range);
    crashPoint('relay.partition.create.after');
    report(result, 'made', { from: new Date(range.fromMs), to: new Date(range.toMs) });
  }

  async function drop(view: PartitionView, partition: Partition): Promise<ScriptResult['outcome']> {
    const looked = await store.lookInto(partition);
    crashPoint('relay.partition.drop.before');
    const result = looked.outcome === 'done' ? await store.drop(view, partition) : looked;
    crashPoint('relay.partition.drop.after');
    report(result, 'dropped', { partition: partition.table });
    return result.outcome;
  }

  function report(result: ScriptResult, what: 'made' | 'dropped', fields: object): void {
    const { outcome, reason } = result;
    const key = JSON.stringify(fields);
    if (outcome === 'done') {
      told.delete(key);
      logger.info(fields, `relay: partition ${what}`);
      return;
    }
    if (outcome === 'gone' || told.get(key) === reason) return;
    told.set(key, reason);
    if (outcome === 'forbidden') {
      const message = `the relay's role may not change the partitions; it needs to be, or to be a member of, the owner of the table: ${reason}`;
      logger.error(
        { ...fields, err: new OutboxError('OUTBOX_PARTITIONS_FORBIDDEN', message) },
        `relay: partition not ${what}`,
      );
      return;
    }
    logger.warn({ ...fields, outcome, reason }, `relay: partition not ${what}, will try again`);
  }

  return { step, round };
}
