import { asError, OutboxError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { RelayMetrics } from '../metrics.ts';
import type { Publisher, PublishResult } from '../publisher.ts';
import { type Acknowledged, acknowledgedPrefix } from './acknowledged.ts';
import type { BucketLeases } from './bucket-leases.ts';
import type { RelayCounts } from './counts.ts';
import type { Flight, NotAcknowledged } from './flight.ts';
import type { HeldRows, PoisonedRow } from './held-rows.ts';
import type { Marks } from './marks.ts';
import type { OutboxRow } from './outbox-rows.ts';

/** What publishing needs. */
export interface PublishingDeps {
  readonly publisher: Publisher;
  readonly marks: Pick<Marks, 'mark'>;
  readonly held: Pick<HeldRows, 'bury'>;
  readonly onPoison: 'block-aggregate' | 'skip';
  readonly leases: Pick<BucketLeases, 'holds' | 'epochOf' | 'relayId'>;
  readonly logger: Logger;
  readonly crashPoint: (point: string) => void;
  readonly counts: RelayCounts;
  readonly metrics: RelayMetrics;
}

/**
 * Publishes a flight, then marks what the broker acknowledged. No transaction is open meanwhile.
 * @returns for each bucket of the flight whose rows were not all acknowledged, why
 */
export async function publishFlight(
  deps: PublishingDeps,
  flight: Flight,
  publishTimeoutMs: number,
): Promise<ReadonlyMap<number, NotAcknowledged>> {
  const { leases, counts, crashPoint } = deps;
  crashPoint('relay.publish.before');
  // While the rows were read, a bucket may have been lost or begun its way to another relay; a process that stood still
  // meanwhile does not even know.
  const rows = leases.holds() ? flight.rows.filter((row) => leases.epochOf(row.bucket) === row.epoch) : [];
  counts.dropped += flight.rows.length - rows.length;
  const sent = new Set(rows.map((row) => row.bucket));
  const notSent = flight.buckets.filter((bucket) => !sent.has(bucket)).map((b) => [b, 'not sent'] as const);
  if (rows.length === 0) return new Map(notSent);

  const startMs = performance.now();
  const acknowledged = await publishRows(deps.publisher, rows, publishTimeoutMs);
  crashPoint('relay.publish.after');
  counts.published += acknowledged.rows.length;
  report(deps, flight, acknowledged, performance.now() - startMs);

  if (acknowledged.rows.length > 0) await deps.marks.mark(acknowledged.rows);
  if (acknowledged.poisoned.length > 0) await bury(deps, acknowledged.poisoned);
  return new Map<number, NotAcknowledged>([...acknowledged.errors, ...notSent]);
}

async function publishRows(
  publisher: Publisher,
  rows: readonly OutboxRow[],
  timeoutMs: number,
): Promise<Acknowledged> {
  const records = rows.map((row) => row.record);
  let results: readonly PublishResult[];
  try {
    results = await inTime(publisher.publish(records), timeoutMs);
    if (results.length !== records.length) {
      const message = `the publisher gave ${results.length} results for ${records.length} records`;
      throw new OutboxError('OUTBOX_PUBLISHER_BROKE_CONTRACT', message);
    }
  } catch (thrown) {
    const error = asError(thrown);
    results = records.map(() => ({ acknowledged: false, error }));
  }
  return acknowledgedPrefix(rows, results);
}

/**
 * Giving up on a call that may still succeed is safe: what is published then begins again at the first row that is
 * not marked, so a late success is a repetition of what is, or will be, on the topic before anything newer.
 */
async function inTime<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new OutboxError('OUTBOX_PUBLISH_TIMEOUT', `no answer from the publisher within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function measure(metrics: RelayMetrics, acknowledged: Acknowledged, tookMs: number): void {
  metrics.published.inc(acknowledged.rows.length);
  metrics.publishSeconds.observe(tookMs / 1000);
  if (acknowledged.errors.size > 0) metrics.failures.inc(1);
}

/** If the database does not take it, the rows are still in the hot read and will be refused again. */
async function bury(deps: PublishingDeps, poisoned: readonly PoisonedRow[]): Promise<void> {
  deps.counts.deadLettered += await deps.held.bury(poisoned, deps.onPoison === 'block-aggregate');
  for (const { row, error } of poisoned) {
    const fields = {
      relayId: deps.leases.relayId,
      eventId: row.record.id,
      topic: row.record.topic,
      err: error,
    };
    deps.logger.error(
      fields,
      `relay: dead letter, ${deps.onPoison === 'skip' ? 'skipped' : 'blocks its aggregate'}`,
    );
  }
}

function report(deps: PublishingDeps, flight: Flight, acknowledged: Acknowledged, tookMs: number): void {
  measure(deps.metrics, acknowledged, tookMs);
  const { relayId } = deps.leases;
  const { topic } = flight;
  const count = acknowledged.rows.length;
  if (count > 0)
    deps.logger.debug({ relayId, topic, count, durationMs: Math.round(tookMs) }, 'relay: published');
  for (const [err, buckets] of Map.groupBy(acknowledged.errors.keys(), (b) => acknowledged.errors.get(b))) {
    deps.logger.warn({ relayId, topic, buckets, err }, 'relay: not acknowledged, will be tried again');
  }
}
