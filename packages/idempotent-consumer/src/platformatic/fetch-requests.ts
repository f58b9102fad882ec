import type { ClusterMetadata, FetchOptions } from './client.ts';
import type { Lane } from './lane.ts';

/** The partitions of one request, by topic id and partition. */
export type Requested = Map<string, { readonly lane: Lane; readonly offset: bigint }>;

/** One request to a broker. */
export interface PlannedFetch {
  readonly requested: Requested;
  /** How long the broker shall wait for a record when it has none. */
  readonly waitMs: number;
}

/** What may be asked for now, by broker. */
export interface FetchPlan {
  readonly requests: ReadonlyMap<number, PlannedFetch>;
  /** After this time there may be more to ask for, though nothing has happened. */
  readonly pauseMs: number;
  /** A partition has no leader here. */
  readonly isMetadataStale: boolean;
}

/** It is also what a partition may have to wait for that wants records while a request without it is under way. */
const waitMs = 250;
/** While some partitions have enough and may soon want more. */
const shortWaitMs = 50;
const leaderlessPauseMs = 200;

export const keyOf = (topicId: string, partition: number): string => `${topicId}/${partition}`;

/** Plans a request for each broker that is not busy. */
export function planFetches(
  lanes: readonly Lane[],
  metadata: ClusterMetadata,
  busyNodes: ReadonlySet<number>,
  turn: number,
): FetchPlan {
  const wanted = new Map<number, Requested>();
  let hasSatisfied = false;
  let isMetadataStale = false;
  let pauseMs = Number.POSITIVE_INFINITY;
  for (const lane of lanes) {
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
      pauseMs = Math.min(pauseMs, leaderlessPauseMs);
    } else if (!busyNodes.has(node)) {
      const requested: Requested = wanted.get(node) ?? new Map();
      wanted.set(node, requested.set(keyOf(id, lane.partition), { lane, offset }));
    }
  }
  const requests = new Map<number, PlannedFetch>();
  for (const [node, requested] of wanted) {
    const alone = oneAlone(requested, turn);
    if (alone !== undefined) requests.set(node, { requested: alone, waitMs: 0 });
    else requests.set(node, { requested, waitMs: hasSatisfied ? shortWaitMs : waitMs });
  }
  return { requests, pauseMs, isMetadataStale };
}

/** One alone, in turns, where there are some that must be fetched so; all others wait for its answer. */
function oneAlone(requested: Requested, turn: number): Requested | undefined {
  const alone = [...requested].filter(([, { lane }]) => lane.isFetchedAlone);
  const one = alone[turn % Math.max(1, alone.length)];
  return one === undefined ? undefined : new Map([one]);
}

/** The partitions as the client wants them; of one that is fetched alone a single batch, the least there is. */
export function topicsOf(requested: Requested, partitionBytesMax: number): FetchOptions['topics'] {
  const topics = new Map<string, FetchOptions['topics'][number]>();
  for (const [key, { lane, offset }] of requested) {
    const topicId = key.slice(0, key.lastIndexOf('/'));
    const topic = topics.get(topicId) ?? { topicId, partitions: [] };
    topics.set(topicId, topic);
    topic.partitions.push({
      partition: lane.partition,
      fetchOffset: offset,
      partitionMaxBytes: lane.isFetchedAlone ? 1 : partitionBytesMax,
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
    });
  }
  return [...topics.values()];
}
