import { hostname } from 'node:os';
import { OutboxError } from '../errors.ts';

/** Options of the relay; times in milliseconds. */
export interface RelayOptions {
  /** Names the relay in logs and tables (host and pid); each start adds a part of its own to it. */
  readonly relayId?: string;
  /** Schema of the tables; else `search_path` decides. */
  readonly schema?: string;
  /**
   * How long the relay may be silent before the others take its buckets (10,000). All statement and lock time-outs of
   * the pool must be shorter.
   */
  readonly leaseDurationMs?: number;
  /** Nothing is published in this last part of the lease (a fifth of it). */
  readonly leaseMarginMs?: number;
  /** Longest wait for new events when no wake-up comes (500); shorter while events arrive. */
  readonly pollIntervalMs?: number;
  /** Events of one bucket that are read at once, at most (500). */
  readonly batchSizeMax?: number;
  /** Events in memory, at most (4,000). */
  readonly inFlightMax?: number;
  /** How long the publisher may take for a call before its records count as not acknowledged (30,000). */
  readonly publishTimeoutMs?: number;
  /** First wait of a topic that failed (100). */
  readonly backoffBaseMs?: number;
  /** Longest wait of a topic that goes on failing (30,000). */
  readonly backoffMaxMs?: number;
  /** How long `stop` waits for what is being published (10,000). */
  readonly drainTimeoutMs?: number;
  /** Whether to LISTEN for wake-ups, which keeps a connection of the pool (true). Not behind a transaction pooler. */
  readonly listen?: boolean;
  /** How often published rows are put behind the low-water mark, where polls no longer look (2,000). */
  readonly lowWaterIntervalMs?: number;
  /**
   * What becomes of an aggregate's later events when the broker will never take one: they wait until it is redriven or
   * skipped (`block-aggregate`, the default), or go on (`skip`). Other aggregates go on in any case.
   */
  readonly onPoison?: 'block-aggregate' | 'skip';
  /**
   * How long published rows stay, counted from the end of their partition (604,800,000, a week). `Infinity` keeps them
   * for ever. Keep it longer than any transaction may take.
   */
  readonly retentionMs?: number;
  /** Time that a new partition covers (86,400,000, a day of UTC); whole minutes. */
  readonly partitionWidthMs?: number;
  /** Partitions that are made in advance, beside the present one (7). */
  readonly partitionsAhead?: number;
  /** How often one of the relays makes and drops partitions (60,000). */
  readonly partitionIntervalMs?: number;
}

/** Options with their defaults. */
export type RelaySettings = Required<Omit<RelayOptions, 'schema'>> & {
  readonly schema: string | undefined;
  readonly heartbeatIntervalMs: number;
  readonly pollIntervalMinMs: number;
};

/** Those of the partitions. */
export type PartitionSettings = Pick<
  RelaySettings,
  'retentionMs' | 'partitionWidthMs' | 'partitionsAhead' | 'partitionIntervalMs'
>;

/** @throws OutboxError `OUTBOX_OPTION_INVALID` */
export function relaySettings(options: RelayOptions): RelaySettings {
  const leaseDurationMs = options.leaseDurationMs ?? 10_000;
  const pollIntervalMs = options.pollIntervalMs ?? 500;
  const settings: RelaySettings = {
    relayId: options.relayId ?? `${hostname()}-${process.pid}`,
    schema: options.schema,
    leaseDurationMs,
    leaseMarginMs: options.leaseMarginMs ?? leaseDurationMs / 5,
    heartbeatIntervalMs: leaseDurationMs / 4,
    pollIntervalMs,
    pollIntervalMinMs: Math.min(pollIntervalMs, 20),
    batchSizeMax: options.batchSizeMax ?? 500,
    inFlightMax: options.inFlightMax ?? 4_000,
    publishTimeoutMs: options.publishTimeoutMs ?? 30_000,
    backoffBaseMs: options.backoffBaseMs ?? 100,
    backoffMaxMs: options.backoffMaxMs ?? 30_000,
    drainTimeoutMs: options.drainTimeoutMs ?? 10_000,
    listen: options.listen ?? true,
    lowWaterIntervalMs: options.lowWaterIntervalMs ?? 2_000,
    onPoison: options.onPoison ?? 'block-aggregate',
    retentionMs: options.retentionMs ?? 7 * dayMs,
    partitionWidthMs: options.partitionWidthMs ?? dayMs,
    partitionsAhead: options.partitionsAhead ?? 7,
    partitionIntervalMs: options.partitionIntervalMs ?? minuteMs,
  };
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === 'number' && !(value > 0)) throw invalid(name, 'must be greater than 0');
  }
  if (!['block-aggregate', 'skip'].includes(settings.onPoison)) {
    throw invalid('onPoison', 'must be block-aggregate or skip');
  }
  if (settings.leaseMarginMs >= leaseDurationMs / 2) {
    throw invalid('leaseMarginMs', 'must be less than half of leaseDurationMs: heartbeats need the rest');
  }
  if (!Number.isInteger(settings.partitionWidthMs / minuteMs)) {
    throw invalid('partitionWidthMs', 'must be whole minutes');
  }
  return settings;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

function invalid(name: string, problem: string): OutboxError {
  return new OutboxError('OUTBOX_OPTION_INVALID', `${name} ${problem}`);
}
