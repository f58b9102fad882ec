import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { Logger } from '../logger.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions, PlatformaticStream } from './client.ts';
import { mayHeal, protocolCodes, saysMembershipIsOver } from './client-errors.ts';
import { leaveGroup } from './leaving.ts';
import { watchPartitionCounts } from './partition-counts.ts';

/** One partition of one topic. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** Who is told what becomes of a membership. */
export interface MembershipListener {
  /** These are the partitions that this member has; called whenever they may have changed, or the membership has. */
  onAssigned(places: readonly Place[]): void;
  /** The group's coordinator answered. */
  onSign(): void;
  /** Nothing comes of this membership any more. */
  onEnd(error: unknown): void;
}

export interface MembershipOptions {
  readonly client: PlatformaticConsumerOptions;
  readonly topics: readonly string[];
  readonly metadataMaxAgeMs: number;
}

/** A member of the group. */
export interface Membership {
  readonly consumer: PlatformaticConsumer;
  /** Joins, and gives the connections for fetching. Partitions may be assigned before it resolves. */
  join(): Promise<PlatformaticStream>;
  /** Names the membership under which requests are made now; null while there is none. */
  identity(): string | null;
  /** Leaves the group and closes the client; takes some seconds at the most. Never fails. */
  leave(): Promise<void>;
}

const joinAttemptsMax = 5;
const joinBackoff = { baseMs: 100, maxMs: 2_000 };

/**
 * Joins a group through a `Consumer`, and tells what partitions it has. All that is peculiar to the client's group
 * protocols is here:
 * - with the classic protocol every generation is a membership of its own. It is over when a rebalance begins: the
 *   client joins the next one at once, and takes no commit along;
 * - with KIP-848 (`consumer`) a member keeps what it has while others come and go. The client announces neither new
 *   partitions nor those it gives up, so it is asked around each heartbeat, of which one follows each change;
 * - a member of KIP-848 that the broker has forgotten tries for ever under its old epoch;
 * - the client joins for a stream only. The stream made here has no topics and reads nothing.
 */
export function createMembership(
  deps: { createConsumer: (o: PlatformaticConsumerOptions) => PlatformaticConsumer; logger: Logger },
  { client, topics, metadataMaxAgeMs }: MembershipOptions,
  listener: MembershipListener,
): Membership {
  const consumer = deps.createConsumer(client);
  const isClassic = client.groupProtocol === 'classic';
  const leaving = new AbortController();
  const tell = (): void => listener.onAssigned(leaving.signal.aborted ? [] : placesOf(consumer));
  const classic = isClassic ? listenToClassic(consumer, listener, { tell, rejoin }) : undefined;
  if (!isClassic) listenToConsumer(consumer, listener, tell);

  const growth = watchPartitionCounts(consumer, topics, metadataMaxAgeMs, async () => {
    if (classic?.isLeader() !== true || leaving.signal.aborted) return;
    classic.leaveGeneration();
    await consumer.joinGroup({}).catch(rejoin);
  });

  const pause = (attempt: number) =>
    sleep(fullJitterMs(attempt, joinBackoff), undefined, { signal: leaving.signal });

  async function rejoin(reason: unknown): Promise<void> {
    let error = reason;
    for (let attempt = 1; attempt <= joinAttemptsMax && !isFinal(error); attempt++) {
      try {
        await pause(attempt);
        await consumer.joinGroup({});
        return;
      } catch (failure) {
        error = failure;
      }
    }
    listener.onEnd(error);
  }

  async function join(): Promise<PlatformaticStream> {
    for (const topic of topics) consumer.topics.track(topic);
    await growth.begin();
    for (let attempt = 1; ; attempt++) {
      try {
        // Of a client that has a member id, `consume` only makes the stream.
        if (isClassic && attempt > 1) await consumer.joinGroup({});
        const modes = { mode: 'committed', fallbackMode: 'fail', autocommit: false } as const;
        return await consumer.consume({ topics: [], ...modes });
      } catch (error) {
        if (isFinal(error) || attempt === joinAttemptsMax || leaving.signal.aborted) throw error;
        await pause(attempt);
      }
    }
  }

  return {
    consumer,
    join,
    identity() {
      if (classic === undefined) return consumer.assignments === null ? null : consumer.memberId;
      return classic.isJoined() ? `${consumer.memberId} ${consumer.generationId}` : null;
    },
    async leave() {
      leaving.abort();
      growth.end();
      const isJoining = classic?.isJoined() === false;
      await leaveGroup({ ...deps, consumer }, client, { isClassic, isJoining });
    },
  };
}

const isFinal = (error: unknown): boolean => !saysMembershipIsOver(error) && !mayHeal(error);

const placesOf = ({ assignments }: PlatformaticConsumer): Place[] =>
  (assignments ?? []).flatMap(({ topic, partitions }) =>
    partitions.map((partition) => ({ topic, partition })),
  );

function listenToClassic(
  consumer: PlatformaticConsumer,
  listener: MembershipListener,
  { tell, rejoin }: { tell: () => void; rejoin: (error: unknown) => Promise<void> },
) {
  let isJoined = false;
  let isLeader = false;
  const leaveGeneration = (): void => {
    isJoined = false;
    listener.onAssigned([]);
  };
  consumer.on('consumer:group:rebalance', leaveGeneration);
  consumer.on('consumer:group:join', (joined?: { isLeader?: boolean }) => {
    isJoined = true;
    isLeader = joined?.isLeader === true;
    listener.onSign();
    tell();
  });
  consumer.on('consumer:heartbeat:end', listener.onSign);
  // The client's own rejoin failed, and it heartbeats no more.
  consumer.on('error', (error: unknown) => {
    leaveGeneration();
    void rejoin(error);
  });
  return { isJoined: () => isJoined, isLeader: () => isJoined && isLeader, leaveGeneration };
}

function listenToConsumer(
  consumer: PlatformaticConsumer,
  listener: MembershipListener,
  tell: () => void,
): void {
  consumer.on('error', listener.onEnd);
  for (const event of ['group:rebalance', 'group:join', 'heartbeat:start'])
    consumer.on(`consumer:${event}`, tell);
  consumer.on('consumer:heartbeat:end', () => {
    listener.onSign();
    tell();
  });
  consumer.on('consumer:heartbeat:error', ({ error }: { error: unknown }) => {
    tell();
    if (protocolCodes(error).has('UNKNOWN_MEMBER_ID')) listener.onEnd(error);
  });
}
