import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { RecordSink } from '../source.ts';
import type { PlatformaticConsumer } from './client.ts';
import { mayHeal, saysMembershipIsOver } from './client-errors.ts';
import type { Place } from './membership.ts';
import { type Begin, beginOf, committedOf, edgeOf } from './offsets.ts';

/** The group's offsets, as one member reads and commits them. */
export interface GroupOffsets {
  /** Where to begin in a partition that was assigned. */
  start(place: Place): Promise<bigint>;
  /** Where to go on from an offset that the partition does not have; undefined when nowhere. */
  afterReset(place: Place, from: bigint): Promise<bigint | undefined>;
  /** Commits for as long as the partition is ours; says whether it did. Throws what will not heal. */
  commit(place: Place, offset: bigint, isOurs: () => boolean): Promise<boolean>;
}

const commitBackoff = { baseMs: 50, maxMs: 5_000 };
/** Tries of a commit when the source stops and the coordinator cannot be reached. */
const lastCommitAttemptsMax = 3;

export function createGroupOffsets(
  { consumer, sink, stop }: { consumer: PlatformaticConsumer; sink: RecordSink; stop: AbortSignal },
  options: {
    readonly groupId: string;
    readonly begin: Begin;
    readonly offsetOutOfRange: 'earliest' | 'latest' | 'stop';
  },
): GroupOffsets {
  const { groupId, begin, offsetOutOfRange: policy } = options;
  const { logger } = sink;
  const commitAt = ({ topic, partition }: Place, offset: bigint) =>
    consumer.commit({ offsets: [{ topic, partition, offset, leaderEpoch: -1 }] });

  return {
    async start(place) {
      const committed = await committedOf(consumer, place);
      if (committed !== undefined) return committed;
      const offset = await beginOf(consumer, place, begin);
      // What comes in before the first chunk is accepted would be left out by whoever begins after that.
      if (begin !== 'earliest') await commitAt(place, offset);
      return offset;
    },

    async afterReset(place, from) {
      const to = await edgeOf(consumer, place, policy === 'latest' ? 'latest' : 'earliest');
      if (policy === 'latest') await commitAt(place, to); // as above
      sink.count('offsetResets');
      const fields = { groupId, ...place, from: String(from), to: String(to), policy };
      if (policy !== 'stop') {
        logger.error(fields, 'the offset to be consumed next does not exist, going on at another one');
        return to;
      }
      logger.error(
        fields,
        'the offset to be consumed next does not exist, its partition waits: set the offset of the group, then start anew',
      );
      return undefined;
    },

    async commit(place, offset, isOurs) {
      for (let attempt = 1; isOurs(); attempt++) {
        try {
          await commitAt(place, offset);
          return true;
        } catch (error) {
          if (saysMembershipIsOver(error) || !isOurs()) return false;
          if (!mayHeal(error) || (stop.aborted && attempt >= lastCommitAttemptsMax)) throw error;
          const delayMs = fullJitterMs(attempt, commitBackoff);
          logger.debug({ groupId, ...place, delayMs, err: error }, 'committing the offset again');
          await sleep(delayMs);
        }
      }
      return false;
    },
  };
}
