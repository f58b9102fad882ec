import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client';
import type { ConsumerMetrics } from './metrics.ts';

/** Where the metrics are registered. */
export interface PrometheusOptions {
  readonly registry: Registry;
  /** Start of all names (`idempotent_consumer_`); several consumers of one registry need one each. */
  readonly prefix?: string;
}

/** A consumer's metrics in `@prometheus-io/client`; make one for each registry, and give it to `createConsumer`. */
export function createPrometheusMetrics({
  registry,
  prefix = 'idempotent_consumer_',
}: PrometheusOptions): ConsumerMetrics {
  const described = (name: string, help: string) => ({ name: prefix + name, help, registers: [registry] });
  const counter = (name: string, help: string) => new Counter(described(name, help));
  const gauge = (name: string, help: string) => new Gauge(described(name, help));
  return {
    handled: counter('handled_total', 'Events handled'),
    duplicates: counter('duplicates_total', 'Events that came again'),
    duplicatesFromOtherTopic: counter(
      'duplicates_from_other_topic_total',
      'Events that came again, but from another topic',
    ),
    skipped: counter('skipped_total', 'Records of types that are not handled'),
    scheduled: counter('scheduled_total', 'Events stored: failed, or waiting behind one of their key'),
    retriesFailed: counter('retries_failed_total', 'Tries of stored events that failed again'),
    deadLetters: counter('dead_letters_total', 'New dead letters'),
    retries: counter(
      'chunk_retries_total',
      'Chunks that had to be tried once more, through no fault of their events',
    ),
    killSwitchOpened: counter('kill_switch_opened_total', 'How often the kill switch has opened'),
    offsetResets: counter('offset_resets_total', 'Offsets that were out of range'),
    sourceRestarts: counter('source_restarts_total', 'How often the source has built its client anew'),
    unreadableBatches: counter('unreadable_batches_total', 'Batches that the client could not read'),
    acceptSeconds: new Histogram({
      ...described('accept_seconds', 'Time of the transactions that took over a chunk'),
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
    }),
    lagRecords: gauge('lag_records', "Records behind the ends of this member's partitions"),
    lagSeconds: gauge('lag_seconds', 'How far behind this member is in time'),
    oldestNotAcceptedSeconds: gauge('oldest_not_accepted_seconds', 'Age of the oldest record in hand'),
    scheduledWaiting: gauge(
      'scheduled_waiting',
      'Stored events that are tried again or wait, counted up to a limit',
    ),
    deadLettersWaiting: gauge(
      'dead_letters_waiting',
      'Dead letters that wait for a decision, counted up to a limit',
    ),
    blockedKeys: gauge('blocked_keys', 'Keys with an event that holds the others up, counted up to a limit'),
    oldestScheduledSeconds: gauge('oldest_scheduled_seconds', 'Age of the oldest event that holds a key up'),
    paused: gauge('paused', '1 while the consumer is paused'),
    killSwitchOpen: gauge('kill_switch_open', '1 while the kill switch of this member is open'),
  };
}
