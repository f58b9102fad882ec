import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { ChunkLimits } from '../chunks.ts';
import type { PartitionPosition, RecordSink } from '../source.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions } from './client.ts';
import { mayHeal, saysMembershipIsOver } from './client-errors.ts';
import { fetchForLanes } from './fetcher.ts';
import { createLane, type Lane } from './lane.ts';
import { createMembership, type MembershipOptions, type Place } from './membership.ts';
import { type Begin, beginOf, committedOf, edgeOf, positionsOf } from './offsets.ts';

export interface SessionOptions extends MembershipOptions, ChunkLimits {
  readonly begin: Begin;
  readonly offsetOutOfRange: 'earliest' | 'latest' | 'stop';
  readonly fetchBytesMax: number;
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

const commitBackoff = { baseMs: 50, maxMs: 5_000 };
const partitionBytes = { min: 64 * 1024, max: 1024 * 1024 };
/** Tries of a commit when the source stops and the coordinator cannot be reached. */
const lastCommitAttemptsMax = 3;

export function createSession(deps: SessionDeps, options: SessionOptions): Session {
  const { sink, stop, inHand } = deps;
  const { logger } = sink;
  const { groupId, sessionTimeout, rebalanceTimeout } = options;
  const over = Promise.withResolvers<unknown>();
  const ending = new AbortController();
  const lanes = new Map<string, Lane>();
  let lanesIdentity: string | null = null;
  let hasJoined = false;
  let lastSignMs = performance.now();
  let woken = Promise.withResolvers<void>();
  // While it joins it may be silent for as long as the group waits for its slowest member.
  const silenceMaxMs = rebalanceTimeout + 2 * sessionTimeout;

  const wake = (): void => woken.resolve();
  const nextWake = (): Promise<void> => {
    woken = Promise.withResolvers();
    return woken.promise;
  };
  const isSilent = (): boolean => performance.now() - lastSignMs > silenceMaxMs;

  const membership = createMembership({ ...deps, logger }, membershipOptions(options), {
    onAssigned: assign,
    onSign: () => {
      lastSignMs = performance.now();
    },
    onEnd: over.resolve,
  });
  const { consumer } = membership;

  function assign(places: readonly Place[]): void {
    const identity = places.length === 0 ? null : membership.identity();
    const assigned = new Map(places.map((place) => [keyOf(place), place]));
    for (const [key, lane] of lanes) {
      if (assigned.has(key) && identity === lanesIdentity) continue;
      lane.lose();
      lanes.delete(key);
    }
    lanesIdentity = identity;
    if (identity !== null) hasJoined = true;
    if (ending.signal.aborted || identity === null) return;
    for (const [key, place] of assigned) if (!lanes.has(key)) open(key, place, identity);
    wake();
  }

  function open(key: string, place: Place, identity: string): void {
    const lane = createLane(place, {
      sink,
      limits: options,
      heldBytesMax: partitionBytesMax,
      before: inHand.get(key) ?? Promise.resolve(),
      isCurrent: () => membership.identity() === identity,
      startOffset: () => startOffset(place),
      offsetAfterReset: (from) => offsetAfterReset(place, from),
      commit: (offset, isOurs) => commit(place, offset, isOurs),
      wake,
    });
    lanes.set(key, lane);
    inHand.set(key, lane.dealtWith);
  }

  const partitionBytesMax = (): number =>
    Math.min(
      partitionBytes.max,
      Math.max(partitionBytes.min, Math.floor(options.fetchBytesMax / Math.max(1, lanes.size))),
    );

  async function startOffset(place: Place): Promise<bigint> {
    const committed = await committedOf(consumer, place);
    if (committed !== undefined) return committed;
    const offset = await beginOf(consumer, place, options.begin);
    if (options.begin !== 'earliest') await pin(place, offset);
    return offset;
  }

  /** What comes in before the first chunk is accepted would otherwise be left out by whoever begins then. */
  const pin = ({ topic, partition }: Place, offset: bigint) =>
    consumer.commit({ offsets: [{ topic, partition, offset, leaderEpoch: -1 }] });

  async function offsetAfterReset(place: Place, from: bigint): Promise<bigint | undefined> {
    const policy = options.offsetOutOfRange;
    const to = policy === 'stop' ? undefined : await edgeOf(consumer, place, policy);
    if (policy === 'latest' && to !== undefined) await pin(place, to);
    sink.count('offsetResets');
    logger.error(
      { groupId, ...place, from: String(from), to: to === undefined ? null : String(to) },
      to === undefined
        ? 'the offset to be consumed next does not exist, the partition waits for an operator'
        : 'the offset to be consumed next does not exist, going on at another one',
    );
    return to;
  }

  async function commit({ topic, partition }: Place, offset: bigint, isOurs: () => boolean) {
    for (let attempt = 1; isOurs(); attempt++) {
      try {
        await consumer.commit({ offsets: [{ topic, partition, offset, leaderEpoch: -1 }] });
        return true;
      } catch (error) {
        if (saysMembershipIsOver(error) || !isOurs()) return false;
        if (!mayHeal(error) || (stop.aborted && attempt >= lastCommitAttemptsMax)) throw error;
        const delayMs = fullJitterMs(attempt, commitBackoff);
        logger.debug({ groupId, topic, partition, delayMs, err: error }, 'committing the offset again');
        await sleep(delayMs);
      }
    }
    return false;
  }

  async function startUp(): Promise<void> {
    const stream = await membership.join();
    stream.on('error', over.resolve);
    await fetchForLanes(
      { consumer, stream, sink },
      { ...options, partitionBytesMax },
      () => [...lanes.values()],
      { signal: ending.signal, woken: nextWake, wake },
    );
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
    wake();
    if (stop.aborted) await finishInHand();
    for (const lane of lanes.values()) lane.lose();
    await membership.leave();
    await Promise.race([started, sleep(1_000, undefined, { ref: false })]);
    return error;
  }

  /** As a member, so that what is finished is committed. */
  async function finishInHand(): Promise<void> {
    for (const lane of lanes.values()) lane.close();
    const finished = Promise.all([...inHand.values()]).then(() => 'finished');
    const limit = sleep(options.stopTimeoutMs, 'late', { ref: false });
    if ((await Promise.race([finished, limit])) === 'late') {
      logger.warn({ groupId, stopTimeoutMs: options.stopTimeoutMs }, 'leaving the group with chunks in hand');
    }
  }

  return {
    ended: live(),
    hasJoined: () => hasJoined,
    isHealthy: () =>
      hasJoined &&
      !ending.signal.aborted &&
      !isSilent() &&
      [...lanes.values()].every((lane) => lane.getsOn(silenceMaxMs)),
    positions: () => positionsOf(consumer, [...lanes.values()]),
  };
}

const keyOf = ({ topic, partition }: Place): string => `${topic}/${partition}`;

/** Of the session's options those of the client, which looks at what it is given. */
function membershipOptions(o: SessionOptions): MembershipOptions {
  const { groupId, groupProtocol, sessionTimeout, rebalanceTimeout, heartbeatInterval, requestTimeout } = o;
  const { autocreateTopics, retries, topics, metadataMaxAgeMs } = o;
  const client = { groupId, groupProtocol, sessionTimeout, rebalanceTimeout, heartbeatInterval };
  return { ...client, requestTimeout, autocreateTopics, retries, topics, metadataMaxAgeMs };
}
