import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { Logger } from '../logger.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions, PlatformaticStream } from './client.ts';
import { mayHeal, protocolCodes, saysMembershipIsOver } from './client-errors.ts';

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

export interface MembershipOptions extends Omit<PlatformaticConsumerOptions, 'autocommit'> {
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
const leaveTimeoutMs = 5_000;

/**
 * Joins a group through a `Consumer`, and tells what partitions it has. All that is peculiar to the client's group
 * protocols is here:
 * - with the classic protocol every generation is a membership of its own. It is over when a rebalance begins: the
 *   client joins the next one at once, and takes no commit along;
 * - with KIP-848 (`consumer`) a member keeps what it has while others come and go. The client announces neither new
 *   partitions nor those it gives up, so it is asked around each heartbeat, of which one follows each change;
 * - a member of KIP-848 that the broker has forgotten is never told so by the client, which goes on for ever;
 * - the client joins for a stream only. The stream made here has no topics and reads nothing.
 */
export function createMembership(
  deps: { createConsumer: (o: PlatformaticConsumerOptions) => PlatformaticConsumer; logger: Logger },
  { topics, metadataMaxAgeMs, ...group }: MembershipOptions,
  listener: MembershipListener,
): Membership {
  const clientOptions: PlatformaticConsumerOptions = { ...group, autocommit: false };
  const consumer = deps.createConsumer(clientOptions);
  const isClassic = group.groupProtocol === 'classic';
  const leaving = new AbortController();
  /** Classic only. */
  let isJoined = false;
  let isLeader = false;

  const tell = (): void => listener.onAssigned(leaving.signal.aborted ? [] : placesOf(consumer));
  const leaveGeneration = (): void => {
    isJoined = false;
    listener.onAssigned([]);
  };

  async function rejoin(reason: unknown): Promise<void> {
    let error = reason;
    for (let attempt = 1; attempt <= joinAttemptsMax && !leaving.signal.aborted; attempt++) {
      if (!saysMembershipIsOver(error) && !mayHeal(error)) break;
      try {
        await sleep(fullJitterMs(attempt, joinBackoff), undefined, { signal: leaving.signal });
        await consumer.joinGroup({});
        return;
      } catch (failure) {
        error = failure;
      }
    }
    listener.onEnd(error);
  }

  if (isClassic) {
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
  } else {
    consumer.on('error', listener.onEnd);
    for (const event of ['group:rebalance', 'group:join', 'heartbeat:start']) {
      consumer.on(`consumer:${event}`, tell);
    }
    consumer.on('consumer:heartbeat:end', () => {
      listener.onSign();
      tell();
    });
    consumer.on('consumer:heartbeat:error', ({ error }: { error: unknown }) => {
      tell();
      if (protocolCodes(error).has('UNKNOWN_MEMBER_ID')) listener.onEnd(error);
    });
  }

  const growth = watchPartitionCounts(consumer, topics, metadataMaxAgeMs, async () => {
    if (!isClassic || !isJoined || !isLeader || leaving.signal.aborted) return;
    leaveGeneration();
    await consumer.joinGroup({}).catch(rejoin);
  });

  async function join(): Promise<PlatformaticStream> {
    for (const topic of topics) consumer.topics.track(topic);
    await growth.begin();
    for (let attempt = 1; ; attempt++) {
      try {
        // Of a client that has a member id, `consume` only makes the stream.
        if (isClassic && attempt > 1) await consumer.joinGroup({});
        return await consumer.consume({
          topics: [],
          mode: 'committed',
          fallbackMode: 'fail',
          autocommit: false,
        });
      } catch (error) {
        const isFinal = !saysMembershipIsOver(error) && !mayHeal(error);
        if (isFinal || attempt === joinAttemptsMax || leaving.signal.aborted) throw error;
        await sleep(fullJitterMs(attempt, joinBackoff), undefined, { signal: leaving.signal });
      }
    }
  }

  async function leave(): Promise<void> {
    leaving.abort();
    growth.end();
    const late = sleep(leaveTimeoutMs, new Error(`it took more than ${leaveTimeoutMs} ms`), { ref: false });
    const done = (async () => {
      if (isClassic && !isJoined) await leaveJoin();
      if (isClassic) await consumer.leaveGroup(true);
      await consumer.close(true);
      return undefined;
    })().catch((error: unknown) => error);
    const problem = await Promise.race([done, late]);
    if (problem === undefined) return;
    deps.logger.warn({ groupId: group.groupId, err: problem }, 'consumer could not leave its group in order');
    await Promise.race([consumer.close(true).catch(() => undefined), late]);
  }

  /**
   * A join is answered when all members have joined, and until then its connection answers nothing else: it is ended
   * over another one. The broker would wait for a member that joins, and then give it partitions.
   */
  async function leaveJoin(): Promise<void> {
    const limit = Date.now() + 1_000;
    while (consumer.memberId === null && Date.now() < limit) await sleep(20);
    if (consumer.memberId === null) return;
    const other = deps.createConsumer(clientOptions);
    other.on('error', () => undefined);
    other.memberId = consumer.memberId;
    await other.leaveGroup(true).finally(() => other.close(true));
  }

  return {
    consumer,
    join,
    identity() {
      if (isClassic) return isJoined ? `${consumer.memberId} ${consumer.generationId}` : null;
      return consumer.memberId;
    },
    leave,
  };
}

const placesOf = ({ assignments }: PlatformaticConsumer): Place[] =>
  (assignments ?? []).flatMap(({ topic, partitions }) =>
    partitions.map((partition) => ({ topic, partition })),
  );

/** The client does not see that a topic has got more partitions; with the classic protocol nobody else does. */
function watchPartitionCounts(
  consumer: PlatformaticConsumer,
  topics: readonly string[],
  intervalMs: number,
  onGrown: () => Promise<void>,
) {
  let timer: NodeJS.Timeout | undefined;
  let known: string | undefined;
  const counts = async (): Promise<string> => {
    const metadata = await consumer.metadata({ topics: [...topics], forceUpdate: true });
    return topics.map((topic) => metadata.topics.get(topic)?.partitionsCount).join();
  };
  async function look(): Promise<void> {
    // A client that is away is noticed elsewhere.
    const now = await counts().catch(() => known);
    if (now === known) return;
    known = now;
    await onGrown();
  }
  return {
    async begin(): Promise<void> {
      known = await counts();
      timer = setInterval(() => void look(), intervalMs);
      timer.unref();
    },
    end: (): void => clearInterval(timer),
  };
}
