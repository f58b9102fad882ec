import { type createDefaultPartition, type DefaultContent, movedRowsMax } from './default-partition.ts';
import type { PartitionSettings } from './options.ts';
import { gapsInAll, slotAt, slotsAhead, type TimeRange } from './partition-ranges.ts';
import type { PartitionReport } from './partition-report.ts';
import type { ScriptResult } from './partition-script.ts';
import type { PartitionStore, PartitionView } from './partition-store.ts';

/** Partitions that begin sooner than this count as begun: a writer may be about to write what belongs there. */
const soonMs = 60_000;

/** Makes the partitions that are missing: ahead, and of rows that have come into the default partition. */
export function createPartitionMaker(
  deps: {
    crashPoint: (point: string) => void;
    store: PartitionStore;
    defaultPartition: ReturnType<typeof createDefaultPartition>;
    report: PartitionReport;
  },
  settings: PartitionSettings,
) {
  const { store, defaultPartition, report, crashPoint } = deps;
  const { partitionWidthMs: widthMs } = settings;
  const isLarge = ({ rows }: DefaultContent) => rows > movedRowsMax;

  async function makeMissing(before: PartitionView): Promise<void> {
    let view = before;
    let content = await defaultPartition.look(view);
    if (isLarge(content) && (await retire(view, content))) {
      view = await store.look();
      content = await defaultPartition.look(view);
    }
    await makeAll(view, content);
  }

  /** @returns whether the default partition is another one now */
  async function retire(view: PartitionView, { unpublished }: DefaultContent): Promise<boolean> {
    const table = String(view.defaultTable);
    const fields = { partition: table };
    if (unpublished > movedRowsMax) {
      const reason = `more than ${movedRowsMax} of its rows are unpublished`;
      report({ outcome: 'kept', reason }, 'retired', fields);
      return false;
    }
    const present = gapsInAll([slotAt(view.nowMs, widthMs)], view.partitions);
    crashPoint('relay.partition.retire.before');
    const result = await defaultPartition.retire(view, table, present);
    crashPoint('relay.partition.retire.after');
    report(result, 'retired', fields);
    return result.outcome === 'done';
  }

  async function makeAll(view: PartitionView, content: DefaultContent): Promise<void> {
    const { writtenAtMs } = content;
    const ahead = slotsAhead(view.nowMs, widthMs, settings.partitionsAhead);
    const behind = isLarge(content) ? [] : writtenAtMs.map((atMs) => slotAt(atMs, widthMs));
    const wanted = new Map([...ahead, ...behind].map((range) => [range.fromMs, range]));
    for (const range of gapsInAll([...wanted.values()], view.partitions)) {
      const hasBegun = range.fromMs < view.nowMs + soonMs;
      if (hasBegun && isLarge(content)) continue; // its rows may be too many to be moved
      const holds = writtenAtMs.some((atMs) => atMs >= range.fromMs && atMs < range.toMs);
      if ((await make(view, range, hasBegun || holds)) === 'busy') return;
    }
  }

  async function make(
    view: PartitionView,
    range: TimeRange,
    move: boolean,
  ): Promise<ScriptResult['outcome']> {
    crashPoint('relay.partition.create.before');
    const result = await store.create(view, range, { move });
    crashPoint('relay.partition.create.after');
    report(result, 'made', { from: new Date(range.fromMs), to: new Date(range.toMs) });
    return result.outcome;
  }

  return { makeMissing };
}
