import { OutboxError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { RelayMetrics } from '../metrics.ts';
import type { ScriptResult } from './partition-script.ts';

/** Says what has become of a partition. */
export type PartitionReport = (
  result: ScriptResult,
  what: 'made' | 'dropped' | 'retired',
  fields: object,
) => void;

/** Counts it, and says it once, until something else has become of it. */
export function createPartitionReport(logger: Logger, metrics: RelayMetrics): PartitionReport {
  const counters = { made: metrics.partitionsMade, dropped: metrics.partitionsDropped, retired: undefined };
  const told = new Map<string, string>();
  return (result, what, fields) => {
    const { outcome, reason } = result;
    const key = what + JSON.stringify(fields);
    if (outcome === 'done') {
      told.delete(key);
      counters[what]?.inc(1);
      logger.info(fields, `relay: partition ${what}`);
      return;
    }
    if (outcome === 'gone') return;
    metrics.partitionsPutOff.inc(1);
    if (told.get(key) === reason) return;
    told.set(key, reason);
    if (outcome === 'forbidden') {
      const message = `the relay's role can neither make nor drop partitions: ${reason}`;
      const err = new OutboxError('OUTBOX_PARTITIONS_FORBIDDEN', message);
      logger.error({ ...fields, err }, `relay: partition not ${what}`);
      return;
    }
    logger.warn({ ...fields, outcome, reason }, `relay: partition not ${what}; it will be tried again`);
  };
}
