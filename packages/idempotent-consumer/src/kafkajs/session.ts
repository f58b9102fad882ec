import type { EachBatchPayload, Kafka, Consumer as KafkajsConsumer } from 'kafkajs';
import type { RecordSink } from '../source.ts';
import { findAnew, findBeginnings, OffsetOutOfRangeError } from './beginning.ts';
import { type ClusterHooks, type OriginalCluster, tappedAssigner } from './cluster-tap.ts';
import { createFetching, type Fetching, type FetchPlace } from './fetching.ts';
import { createLanes, type Lanes, within } from './lanes.ts';
import { leaveGroup } from './leave.ts';
import { type Life, watch } from './life.ts';
import { createMembership, type Membership } from './membership.ts';
import type { Settings } from './options.ts';
import type { Standing } from './standing.ts';

/** The life of one consumer of kafkajs. */
export interface Session {
  /** Resolves when it is over and closed and out of the group, with the error that ended it. */
  readonly ended: Promise<unknown>;
  /** Whether it has done what it is there for: a rebuild after that is the first of its kind. */
  hasWorked(): boolean;
  isAlive(): boolean;
  /** The partitions it has. */
  assigned(): ReadonlyMap<string, readonly number[]>;
}

export interface SessionDeps {
  readonly kafka: Kafka;
  readonly sink: RecordSink;
  readonly settings: Settings;
  readonly standing: Standing;
  readonly stop: AbortSignal;
}

/** A broker answers a fetch at the latest after this long; it is also what a stop may have to wait for. */
const fetchWaitMs = 250;
/** Batches that kafkajs hands over at the same time: none is to wait in its queue. */
const batchesAtOnceMax = 128;
/** A rebalance waits so long for chunks in hand, at most. */
const rebalanceDrainMaxMs = 5_000;
/** A session that has lived for so long has worked, even if nothing came. */
const longLifeMs = 60_000;

/** What closing and leaving have, each, however long the chunks in hand took. */
const closeMinMs = 1_000;

/** What the parts of a session have in common. */
interface Parts {
  readonly deps: SessionDeps;
  readonly consumer: KafkajsConsumer;
  readonly membership: Membership;
  readonly lanes: Lanes;
  readonly life: Life;
  readonly ending: AbortController;
  readonly over: PromiseWithResolvers<unknown>;
  readonly self: Self;
}

/** Who this is in the group, while it is in it, and where the group is. */
interface Self {
  memberId?: string | undefined;
  generationId: number;
  cluster?: OriginalCluster;
}

/** Builds a consumer of kafkajs and runs it until it ends or `stop` is aborted. */
export function createSession(deps: SessionDeps): Session {
  const { sink, settings, standing, stop } = deps;
  const over = Promise.withResolvers<unknown>();
  const ending = new AbortController();
  const membership = createMembership();
  const lanes = createLanes({ sink, settings, membership, ending: ending.signal });
  const self: Self = { generationId: -1 };
  // Called while it runs, and so when all of this is there.
  const consumer = createConsumer(deps, self, () => ({ parts, fetching }));
  const life = watch(consumer, membership, settings, over.resolve);
  const parts: Parts = { deps, consumer, membership, lanes, life, ending, over, self };
  const fetching = createFetching({
    lanes,
    membership,
    standing,
    ending: ending.signal,
    decompressedBytesMax: settings.decompressedBytesMax,
    onFetch: life.onContact,
    onOutOfRange: (place) => goElsewhere(parts, place),
  });
  const onStop = () => over.resolve(undefined);
  stop.addEventListener('abort', onStop, { once: true });
  let assigned: ReadonlyMap<string, readonly number[]> = new Map();
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    assigned = new Map(Object.entries(payload.memberAssignment));
  });
  const bornMs = performance.now();
  return {
    ended: live(parts, fetching).finally(() => stop.removeEventListener('abort', onStop)),
    hasWorked: () =>
      lanes.hasCommitted() || (membership.joins() > 0 && performance.now() - bornMs > longLifeMs),
    isAlive: () => !ending.signal.aborted && life.isAlive(),
    assigned: () => (membership.current() === undefined ? new Map() : assigned),
  };
}

/** kafkajs's consumer, with its cluster tapped. */
function createConsumer(
  { kafka, sink, settings }: SessionDeps,
  self: Self,
  running: () => { parts: Parts; fetching: Fetching },
): KafkajsConsumer {
  const hooks: ClusterHooks = {
    fetch: (request, fetch) => running().fetching.fetch(request, fetch),
    beforeJoin: (memberId) => beforeJoin(running().parts, memberId),
    onMemberId: (memberId) => {
      self.memberId = memberId;
      if (running().parts.ending.signal.aborted) void leave(running().parts);
    },
    onJoined: ({ memberId, generationId }) => Object.assign(self, { memberId, generationId }),
    onLeft: () => {
      self.memberId = undefined;
    },
    onUnreachable: () => running().parts.life.onContact(false),
    findBeginnings: (request, cluster) => {
      const commit = (topics: readonly object[]) => commitAs(running().parts, topics);
      return findBeginnings(request, cluster, { sink, settings, commit });
    },
  };
  const onCluster = (cluster: OriginalCluster) => {
    self.cluster = cluster;
  };
  return kafka.consumer({
    groupId: settings.groupId,
    sessionTimeout: settings.sessionTimeoutMs,
    rebalanceTimeout: settings.rebalanceTimeoutMs,
    heartbeatInterval: settings.heartbeatIntervalMs,
    maxBytes: settings.fetchBytesMax,
    maxBytesPerPartition: settings.partitionBytesMax,
    maxWaitTimeInMs: fetchWaitMs,
    allowAutoTopicCreation: false,
    retry: { retries: 5, restartOnFailure: async () => false },
    partitionAssigners: [tappedAssigner(hooks, onCluster)],
  });
}

async function live(parts: Parts, fetching: Fetching): Promise<unknown> {
  const { deps, membership, lanes, life, ending, over } = parts;
  const { groupId, stopTimeoutMs } = deps.settings;
  const started = startUp(parts, fetching).catch(over.resolve);
  const error = await over.promise;
  const deadlineMs = performance.now() + stopTimeoutMs;
  const leftMs = () => Math.max(closeMinMs, deadlineMs - performance.now());
  ending.abort();
  life.end();
  // The group does not wait for one who leaves.
  if (membership.current() === undefined) void leave(parts);
  await lanes.drain(stopTimeoutMs);
  if (lanes.anyBusy()) {
    deps.sink.logger.warn(
      { groupId, stopTimeoutMs },
      'records are still being handled, leaving the group without them',
    );
  }
  // A consumer closed while it starts would start nevertheless, and hold partitions that nobody reads.
  await close(
    parts,
    started.then(() => parts.consumer.disconnect()),
    leftMs(),
  );
  membership.end(new Error('the source has left the group'));
  await within(leave(parts), leftMs());
  return error;
}

async function close({ deps }: Parts, disconnected: Promise<void>, limitMs: number): Promise<void> {
  const { groupId } = deps.settings;
  const { logger } = deps.sink;
  let isClosed = false;
  const closed = disconnected
    .catch((reason: unknown) => {
      logger.warn({ groupId, err: reason }, 'the consumer could not be closed in order');
    })
    .then(() => {
      isClosed = true;
    });
  await within(closed, limitMs);
  if (!isClosed) logger.warn({ groupId, limitMs }, 'the consumer is not closed yet, leaving it behind');
}

async function startUp({ deps, consumer, ending, membership, lanes }: Parts, fetching: Fetching) {
  const { settings } = deps;
  await consumer.connect();
  if (ending.signal.aborted) return;
  await consumer.subscribe({ topics: [...settings.topics], fromBeginning: true });
  if (ending.signal.aborted) return;
  const eachBatch = async (payload: EachBatchPayload) => {
    const member = fetching.memberAtFetch(payload.batch);
    if (member === undefined || member !== membership.current() || ending.signal.aborted) return;
    const { topic, partition } = payload.batch;
    if (lanes.isBusy(topic, partition) || payload.isStale()) return;
    await lanes.handle(payload, member);
  };
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: batchesAtOnceMax,
    eachBatch,
  });
}

/** Lets what is in hand be finished and committed, then gives up the generation. A source that ends joins no more. */
async function beforeJoin(parts: Parts, memberId: string): Promise<void> {
  const { membership, lanes, ending, self, deps } = parts;
  const refuse = () => {
    if (ending.signal.aborted) throw Object.assign(new Error('the source ends'), { retriable: false });
  };
  if (memberId !== '') self.memberId = memberId;
  refuse();
  membership.revoke();
  const { sessionTimeoutMs, rebalanceTimeoutMs } = deps.settings;
  await lanes.drain(Math.min(rebalanceDrainMaxMs, sessionTimeoutMs / 2, rebalanceTimeoutMs / 3));
  refuse();
  membership.leave();
}

/** Leaves the group, where kafkajs has not: it does not while it joins, and not after some of its crashes. */
async function leave({ deps, self }: Parts): Promise<void> {
  const { memberId } = self;
  if (memberId === undefined) return;
  const { groupId } = deps.settings;
  try {
    await leaveGroup(deps.kafka, groupId, memberId);
    if (self.memberId === memberId) self.memberId = undefined;
  } catch (error) {
    deps.sink.logger.warn(
      { groupId, memberId, err: error },
      'could not leave the group, it waits for the session to end',
    );
  }
}

/** Goes to another offset where the group's is out of range, or ends the session, as the policy says. */
async function goElsewhere(parts: Parts, place: FetchPlace): Promise<void> {
  const { sink, settings } = parts.deps;
  const commit = (topics: readonly object[]) => commitAs(parts, topics);
  const { topic, partition } = place;
  try {
    const offset = await findAnew(place, clusterOf(parts), { sink, settings, commit });
    parts.consumer.seek({ topic, partition, offset });
    parts.lanes.forget(topic, partition);
  } catch (error) {
    if (!(error instanceof OffsetOutOfRangeError)) throw error;
    parts.over.resolve(error);
  }
}

/** Commits in the name of this member and its generation. */
async function commitAs(parts: Parts, topics: readonly object[]): Promise<void> {
  const { groupId } = parts.deps.settings;
  const coordinator = await clusterOf(parts).findGroupCoordinator({ groupId });
  const { memberId, generationId: groupGenerationId } = parts.self;
  await coordinator.offsetCommit({ groupId, memberId, groupGenerationId, topics });
}

function clusterOf({ self }: Parts): OriginalCluster {
  if (self.cluster === undefined) throw new Error('kafkajs has not shown its cluster');
  return self.cluster;
}
