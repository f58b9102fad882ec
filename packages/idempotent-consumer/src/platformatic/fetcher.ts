import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordSink } from '../source.ts';
import type { ClusterMetadata, PlatformaticConsumer, PlatformaticStream } from './client.ts';
import { saysClientIsClosed } from './client-errors.ts';
import { createDecompressionBudget, TooLargeError } from './decompression.ts';
import { answerIn, createFetchAnswers } from './fetch-answers.ts';
import { type PlannedFetch, planFetches, topicsOf } from './fetch-requests.ts';
import type { Lane } from './lane.ts';

export interface FetcherOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly fetchBytesMax: number;
  readonly decompressedBytesMax: number;
}

/** What is fetched, and when. */
export interface FetcherSubject {
  lanes(): readonly Lane[];
  /** Bytes per partition and request. */
  partitionBytesMax(): number;
  /** Resolves when there may be more to fetch. */
  woken(): Promise<void>;
  wake(): void;
  readonly signal: AbortSignal;
}

const failurePauseMs = 200;
const shareMin = 1 / 64;
const shareGrowth = 1.05;

/**
 * Fetches for all lanes that want records: one request per broker at a time, so that its answers come in order, on
 * connections of its own, so that no heartbeat waits behind it. Ends with the signal.
 * @throws what the client says once it is closed
 */
export async function fetchForLanes(
  deps: { consumer: PlatformaticConsumer; stream: PlatformaticStream; sink: RecordSink },
  options: FetcherOptions,
  subject: FetcherSubject,
): Promise<void> {
  const { consumer, stream, sink } = deps;
  const { groupId, fetchBytesMax } = options;
  const { signal } = subject;
  const answers = createFetchAnswers(sink, groupId);
  const heldBytes = () => subject.lanes().reduce((sum, lane) => sum + lane.heldBytes(), 0);
  const budget = createDecompressionBudget(options.decompressedBytesMax, heldBytes);
  const busyNodes = new Set<number>();
  let closed: unknown;
  let isMetadataStale = false;
  let turn = 0;
  /** Of what may be fetched; smaller for a while when the answers become too large. */
  let share = 1;

  async function fetchFrom(
    node: number,
    metadata: ClusterMetadata,
    { requested, waitMs: maxWaitTime }: PlannedFetch,
  ): Promise<void> {
    busyNodes.add(node);
    try {
      const broker = metadata.brokers.get(node) ?? { host: '', port: 0 };
      await budget.connect(() => stream.connections.get(broker));
      const topics = topicsOf(requested, Math.ceil(subject.partitionBytesMax() * share));
      const maxBytes = Math.ceil(fetchBytesMax * share);
      const request = { node, topics, maxWaitTime, minBytes: 1, maxBytes };
      const answer = await consumer
        .fetch({ ...request, connectionPool: stream.connections, isolationLevel: 1 })
        .catch(answerIn);
      if (answers.take(answer, requested)) isMetadataStale = true;
      share = Math.min(1, share * shareGrowth);
    } catch (error) {
      if (error instanceof TooLargeError) share = Math.max(shareMin, share / 2);
      if (saysClientIsClosed(error)) closed = error;
      else if (!signal.aborted && answers.failed(error, requested)) isMetadataStale = true;
    } finally {
      budget.renew();
      busyNodes.delete(node);
      subject.wake();
    }
  }

  /** Begins what may begin; says for how long there is nothing more to do. */
  async function begin(): Promise<number> {
    const forceUpdate = isMetadataStale;
    isMetadataStale = false;
    const metadata = await consumer.metadata({ topics: [...options.topics], forceUpdate });
    const plan = planFetches(subject.lanes(), metadata, busyNodes, ++turn);
    if (plan.isMetadataStale) isMetadataStale = true;
    for (const [node, planned] of plan.requests) void fetchFrom(node, metadata, planned);
    return plan.pauseMs;
  }

  while (!signal.aborted) {
    if (closed !== undefined) throw closed;
    const woken = subject.woken();
    let pauseMs = failurePauseMs;
    try {
      pauseMs = await begin();
    } catch (error) {
      if (signal.aborted) return;
      if (saysClientIsClosed(error)) throw error;
      isMetadataStale = true;
      sink.logger.debug({ groupId, err: error }, 'no metadata');
      await pauseUnlessEnded(failurePauseMs, signal);
    }
    const timer = new AbortController();
    const pause = Number.isFinite(pauseMs) ? [pauseUnlessEnded(pauseMs, timer.signal)] : [];
    await Promise.race([woken, ...pause]);
    timer.abort();
  }
}

const pauseUnlessEnded = (ms: number, signal: AbortSignal): Promise<unknown> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
