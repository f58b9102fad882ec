import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordSink } from '../source.ts';
import type {
  ClusterMetadata,
  FetchOptions,
  FetchResponse,
  PlatformaticConsumer,
  PlatformaticStream,
} from './client.ts';
import { isUnreadable } from './client-errors.ts';
import type { Lane } from './lane.ts';
import { recordsOf } from './records.ts';

export interface FetcherOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly fetchBytesMax: number;
  /** Bytes per partition and request. */
  readonly partitionBytesMax: () => number;
}

/** The partitions of one request, by topic id and partition. */
type Requested = Map<string, { readonly lane: Lane; readonly offset: bigint }>;

/** A broker that has no records waits this long for one. It is also what a new partition may have to wait for. */
const waitMs = 250;
/** While some partitions have enough and may soon want more, which a request under way cannot be told. */
const shortWaitMs = 50;
const failurePauseMs = 200;
const offsetOutOfRange = 1;

/**
 * Fetches for all lanes that want records: one request per broker at a time, so that its answers come in order, on
 * connections of its own, so that no heartbeat waits behind it. Ends with the signal.
 */
export async function fetchForLanes(
  deps: { consumer: PlatformaticConsumer; stream: PlatformaticStream; sink: RecordSink },
  options: FetcherOptions,
  lanes: () => readonly Lane[],
  o: { signal: AbortSignal; woken: () => Promise<void>; wake: () => void },
): Promise<void> {
  const { consumer, stream, sink } = deps;
  const { groupId } = options;
  const busyNodes = new Set<number>();
  let isMetadataStale = false;
  let turn = 0;

  async function fetchFrom(node: number, requested: Requested, waitsMs: number): Promise<void> {
    busyNodes.add(node);
    try {
      const answer = await consumer.fetch(requestOf(node, requested, waitsMs)).catch(errorWithAnswer);
      take(answer, requested);
    } catch (error) {
      if (o.signal.aborted) return;
      isMetadataStale = true;
      failed(error, requested);
    } finally {
      busyNodes.delete(node);
      o.wake();
    }
  }

  const requestOf = (node: number, requested: Requested, maxWaitTime: number): FetchOptions => ({
    node,
    topics: topicsOf(requested, options.partitionBytesMax()),
    connectionPool: stream.connections,
    maxWaitTime,
    minBytes: 1,
    maxBytes: options.fetchBytesMax,
    isolationLevel: 1,
  });

  function take(answer: FetchResponse, requested: Requested): void {
    if (answer.errorCode !== 0) throw new Error(`a fetch was answered with error code ${answer.errorCode}`);
    const silent = new Map(requested);
    for (const { topicId, partitions } of answer.responses) {
      for (const fetched of partitions) {
        const key = keyOf(topicId, fetched.partitionIndex);
        const { lane, offset } = requested.get(key) ?? {};
        if (lane === undefined || offset === undefined) continue;
        silent.delete(key);
        if (fetched.errorCode === 0) lane.receive(recordsOf(fetched, lane.topic, offset), offset);
        else if (fetched.errorCode === offsetOutOfRange) lane.outOfRange(offset);
        else {
          // Its leader has moved, most often.
          isMetadataStale = true;
          lane.fail();
          const { topic, partition } = lane;
          const fields = { groupId, topic, partition, errorCode: fetched.errorCode };
          sink.logger.warn(fields, 'a partition could not be fetched');
        }
      }
    }
    for (const { lane, offset } of silent.values()) lane.receive(undefined, offset);
  }

  function failed(error: unknown, requested: Requested): void {
    const all = [...requested.values()];
    const [first] = all;
    if (first !== undefined && isUnreadable(error)) {
      if (all.length > 1) {
        for (const { lane } of all) lane.isFetchedAlone = true;
        return;
      }
      const { topic, partition } = first.lane;
      sink.count('unreadableBatches');
      sink.logger.error(
        { groupId, topic, partition, offset: String(first.offset), err: error },
        'the batch at this offset cannot be read: its partition waits. It needs another compression or a newer client',
      );
    } else {
      sink.logger.warn({ groupId, partitions: all.length, err: error }, 'records could not be fetched');
    }
    for (const { lane } of all) lane.fail();
  }

  /** Begins what requests may begin; says after how long there may be more without anything happening. */
  function begin(metadata: ClusterMetadata): number {
    const byNode = new Map<number, Requested>();
    let hasSatisfied = false;
    let pauseMs = Number.POSITIVE_INFINITY;
    for (const lane of lanes()) {
      const offset = lane.wanted();
      const { id, partitions } = metadata.topics.get(lane.topic) ?? {};
      const node = partitions?.[lane.partition]?.leader ?? -1;
      if (offset === undefined) {
        hasSatisfied = true;
        const laneMs = lane.pauseMs();
        if (laneMs > 0) pauseMs = Math.min(pauseMs, laneMs);
      } else if (id === undefined || node < 0) {
        isMetadataStale = true;
        lane.fail();
        pauseMs = Math.min(pauseMs, failurePauseMs);
      } else if (!busyNodes.has(node)) {
        const requested: Requested = byNode.get(node) ?? new Map();
        byNode.set(node, requested.set(keyOf(id, lane.partition), { lane, offset }));
      }
    }
    turn++;
    for (const [node, requested] of byNode) {
      void fetchFrom(node, oneAlone(requested, turn), hasSatisfied ? shortWaitMs : waitMs);
    }
    return pauseMs;
  }

  while (!o.signal.aborted) {
    const woken = o.woken();
    let pauseMs = failurePauseMs;
    try {
      const forceUpdate = isMetadataStale;
      isMetadataStale = false;
      pauseMs = begin(await consumer.metadata({ topics: [...options.topics], forceUpdate }));
    } catch (error) {
      if (o.signal.aborted) return;
      isMetadataStale = true;
      sink.logger.debug({ groupId, err: error }, 'no metadata');
      await pauseUnlessEnded(failurePauseMs, o.signal);
    }
    const timer = new AbortController();
    const pause = Number.isFinite(pauseMs) ? [pauseUnlessEnded(pauseMs, timer.signal)] : [];
    await Promise.race([woken, ...pause]);
    timer.abort();
  }
}

const keyOf = (topicId: string, partition: number): string => `${topicId}/${partition}`;

const pauseUnlessEnded = (ms: number, signal: AbortSignal): Promise<unknown> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);

/** The client throws an answer away that tells of an error in some partitions: it is in the error. */
function errorWithAnswer(error: { response?: FetchResponse }): FetchResponse {
  if (error.response?.errorCode === 0 && error.response.responses.length > 0) return error.response;
  throw error;
}

/** All of them; or one alone, in turns, where there are some that must be fetched so. */
function oneAlone(requested: Requested, turn: number): Requested {
  const alone = [...requested].filter(([, { lane }]) => lane.isFetchedAlone);
  const one = alone[turn % Math.max(1, alone.length)];
  return one === undefined ? requested : new Map([one]);
}

function topicsOf(requested: Requested, partitionMaxBytes: number): FetchOptions['topics'] {
  const topics = new Map<string, FetchOptions['topics'][number]>();
  for (const [key, { lane, offset }] of requested) {
    const topicId = key.slice(0, key.lastIndexOf('/'));
    const topic = topics.get(topicId) ?? { topicId, partitions: [] };
    topics.set(topicId, topic);
    topic.partitions.push({
      partition: lane.partition,
      fetchOffset: offset,
      partitionMaxBytes,
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
    });
  }
  return [...topics.values()];
}
