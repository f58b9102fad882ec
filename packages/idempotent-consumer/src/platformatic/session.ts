import { setTimeout as sleep } from 'node:timers/promises';
import type { ChunkLimits } from '../chunks.ts';
import type { PartitionPosition, RecordSink } from '../source.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions } from './client.ts';
import { type FetcherOptions, fetchForLanes } from './fetcher.ts';
import { createGroupOffsets } from './group-offsets.ts';
import { createLane, type Lane } from './lane.ts';
import { createMembership, type Membership, type Place } from './membership.ts';
import { type Begin, positionsOf } from './offsets.ts';

export interface SessionOptions extends ChunkLimits, FetcherOptions {
  readonly client: PlatformaticConsumerOptions;
  readonly begin: Begin;
  readonly offsetOutOfRange: 'earliest' | 'latest' | 'stop';
  readonly metadataMaxAgeMs: number;
  readonly stopTimeoutMs: number;
}

/** The life of one client. */
export interface Session {
  /** Resolves when it is over and closed, with the error that ended it. */
  readonly ended: Promise<unknown>;
  hasJoined(): boolean;
  isHealthy(): boolean;
  positions(): Promise<readonly PartitionPosition[]>;
}

export interface SessionDeps {
  readonly createConsumer: (options: PlatformaticConsumerOptions) => PlatformaticConsumer;
  readonly sink: RecordSink;
  /** What is in hand, by partition; outlives a session, so that a partition's chunks come one after the other. */
  readonly inHand: Map<string, Promise<void>>;
  readonly stop: AbortSignal;
}

export function createSession(deps: SessionDeps, options: SessionOptions): Session {
  const { sink, stop, inHand } = deps;
  const over = Promise.withResolvers<unknown>();
  const ending = new AbortController();
  // While it joins it may be silent for as long as the group waits for its slowest member.
  const silenceMaxMs = options.client.rebalanceTimeout + 2 * options.client.sessionTimeout;
  let lastSignMs = performance.now();
  const isSilent = (): boolean => performance.now() - lastSignMs > silenceMaxMs;

  const membership = createMembership({ ...deps, logger: sink.logger }, options, {
    onAssigned: (places) => lanes.assign(places, ending.signal.aborted),
    onSign: () => {
      lastSignMs = performance.now();
    },
    onEnd: over.resolve,
  });
  const lanes = createLanes(deps, options, membership);
  const { consumer } = membership;

  async function startUp(): Promise<void> {
    const stream = await membership.join();
    stream.on('error', over.resolve);
    await fetchForLanes({ consumer, stream, sink }, options, {
      ...lanes,
      lanes: lanes.all,
      signal: ending.signal,
    });
  }

  async function live(): Promise<unknown> {
    const onStop = (): void => over.resolve(undefined);
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop);
    const watch = setInterval(() => {
      if (isSilent()) over.resolve(new Error(`the group has shown no sign of life for ${silenceMaxMs} ms`));
    }, silenceMaxMs / 4);
    watch.unref();
    const started = startUp().catch(over.resolve);
    const error = await over.promise;
    clearInterval(watch);
    stop.removeEventListener('abort', onStop);
    ending.abort();
    lanes.wake();
    if (stop.aborted) await finishInHand();
    for (const lane of lanes.all()) lane.lose();
    await membership.leave();
    await Promise.race([started, sleep(1_000, undefined, { ref: false })]);
    return error;
  }

  /** As a member, so that what is finished is committed. */
  async function finishInHand(): Promise<void> {
    const { groupId, stopTimeoutMs } = options;
    for (const lane of lanes.all()) lane.close();
    const finished = Promise.all([...inHand.values()]).then(() => 'finished');
    const limit = sleep(stopTimeoutMs, 'late', { ref: false });
    if ((await Promise.race([finished, limit])) === 'late') {
      sink.logger.warn({ groupId, stopTimeoutMs }, 'leaving the group with chunks in hand');
    }
  }

  return {
    ended: live(),
    hasJoined: lanes.hasJoined,
    isHealthy: () =>
      lanes.hasJoined() &&
      !ending.signal.aborted &&
      !isSilent() &&
      lanes.all().every((lane) => lane.getsOn(silenceMaxMs)),
    positions: () => positionsOf(consumer, lanes.all()),
  };
}

const partitionBytes = { min: 64 * 1024, max: 1024 * 1024 };

/** A lane for each partition that the member has. */
function createLanes(deps: SessionDeps, options: SessionOptions, membership: Membership) {
  const { sink, inHand } = deps;
  const offsets = createGroupOffsets({ ...deps, consumer: membership.consumer }, options);
  const lanes = new Map<string, Lane>();
  let lanesIdentity: string | null = null;
  let hasJoined = false;
  let woken = Promise.withResolvers<void>();
  const wake = (): void => woken.resolve();

  const partitionBytesMax = (): number => {
    const share = Math.floor(options.fetchBytesMax / Math.max(1, lanes.size));
    return Math.min(partitionBytes.max, Math.max(partitionBytes.min, share));
  };

  function open(key: string, place: Place, identity: string): void {
    const lane = createLane(place, {
      sink,
      limits: options,
      heldBytesMax: partitionBytesMax,
      before: inHand.get(key) ?? Promise.resolve(),
      isCurrent: () => membership.identity() === identity,
      startOffset: () => offsets.start(place),
      offsetAfterReset: (from) => offsets.afterReset(place, from),
      commit: (offset, isOurs) => offsets.commit(place, offset, isOurs),
      wake,
    });
    lanes.set(key, lane);
    inHand.set(key, lane.dealtWith);
  }

  /** Under another identity all lanes are new ones: what was fetched before counts for nothing. */
  function assign(places: readonly Place[], isEnding: boolean): void {
    const identity = places.length === 0 ? null : membership.identity();
    const assigned = new Map(places.map((place) => [keyOf(place), place]));
    for (const [key, lane] of lanes) {
      if (assigned.has(key) && identity === lanesIdentity) continue;
      lane.lose();
      lanes.delete(key);
    }
    lanesIdentity = identity;
    if (membership.identity() !== null) hasJoined = true;
    if (isEnding || identity === null) return;
    for (const [key, place] of assigned) if (!lanes.has(key)) open(key, place, identity);
    wake();
  }

  return {
    assign,
    all: () => [...lanes.values()],
    hasJoined: () => hasJoined,
    partitionBytesMax,
    wake,
    woken: (): Promise<void> => {
      woken = Promise.withResolvers();
      return woken.promise;
    },
  };
}

const keyOf = ({ topic, partition }: Place): string => `${topic}/${partition}`;
