import type { Logger } from './logger.ts';
import type { ConsumedRecord } from './record.ts';

/** Consecutive records of one partition, at least one; never more than the source's limits of records and bytes. */
export interface RecordChunk {
  readonly records: readonly [ConsumedRecord, ...ConsumedRecord[]];
  /**
   * Aborted when the chunk is no longer ours: the group takes the partition away, the membership under which the
   * chunk was fetched is over, or the source stops. What is being done may still be finished.
   */
  readonly signal: AbortSignal;
  /**
   * Says that everything up to the record with this offset has been taken over, durably; without an offset, up to the
   * chunk's last record. Does nothing for a chunk that was fetched under a membership that is over: its records come
   * again, to somebody. What counts is the group's generation when the records were fetched.
   * @returns whether the group's offset was committed
   */
  commitOffsets(upTo?: string): Promise<boolean>;
}

/** What became of a chunk. Nothing behind the last committed offset of an abandoned one counts; it is delivered again. */
export type ChunkOutcome = 'accepted' | 'abandoned';

/** Where a source delivers to. */
export interface RecordSink {
  /** Resolves when the chunk is dealt with, which may take for ever. Throws only what `commitOffsets` threw. */
  onChunk(chunk: RecordChunk): Promise<ChunkOutcome>;
  readonly logger: Logger;
  /** Something that an operator should see as a number: kept by the consumer, shown in its metrics. */
  count(what: 'offsetResets' | 'sourceRestarts' | 'unreadableBatches'): void;
}

/** How far the group is in a partition that this member has. Offsets are decimals. */
export interface PartitionPosition {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to be delivered to the group, or null while nothing was committed. */
  readonly committed: string | null;
  /** The offset after the partition's last record. */
  readonly end: string;
}

/**
 * Where records come from: a member of a consumer group. Every source passes `recordSourceContract()` of `./testing`.
 * It guarantees that
 * - the chunks of one partition come one after the other, in order, and none is left out;
 * - a partition whose chunk is not dealt with holds up no other partition, not even of the same broker;
 * - offsets move by `commitOffsets` only, and a chunk fetched under a membership that is over commits nothing; the one
 *   exception is a group that begins at the end or at a time, whose beginning is committed at once: what comes before
 *   its first chunk would else be skipped by a restart;
 * - it keeps its place in the group while chunks are being handled, however long that takes;
 * - where a new group begins is its option; an offset that is out of range is never skipped in silence;
 * - what it holds in memory is bounded in bytes;
 * - it comes back by itself, for ever, when the broker or the client library fails;
 * - `stop` lets chunks in hand be finished, commits what they commit, and leaves the group, also in the middle of a join.
 */
export interface RecordSource {
  /** Names the group in logs, and keeps apart what several groups of one consumer do. */
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Begins delivering in the background. */
  start(sink: RecordSink): void;
  /** Lets chunks in hand be finished, delivers no more, and leaves the group. Final. */
  stop(): Promise<void>;
  /**
   * Whether it is a member of its group and gets on: it fetches, or waits for the sink. Heartbeats alone do not count.
   * What the sink does with its chunks is the sink's to judge.
   */
  isHealthy(): boolean;
  /** Positions of the partitions that this member has; none while it has none. Asks the broker. */
  positions(): Promise<readonly PartitionPosition[]>;
  /**
   * For how long the topics keep their records, the longest of them; Infinity where one keeps them for ever. Where a
   * source cannot tell, it leaves this out. Asks the broker.
   */
  topicRetentionMs?(): Promise<number>;
}
