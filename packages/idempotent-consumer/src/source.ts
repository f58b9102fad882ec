import type { ConsumedRecord } from './record.ts';

/** Consecutive records of one partition, at least one. */
export interface RecordChunk {
  readonly records: readonly [ConsumedRecord, ...ConsumedRecord[]];
  /**
   * Aborted when it is pointless to go on waiting for a chance to accept the chunk: the group takes the partition
   * away, or the consumer stops. What is being done may still be finished.
   */
  readonly signal: AbortSignal;
  /**
   * Says that everything up to the chunk's last record has been taken over, durably. Does nothing for a chunk that
   * was fetched under an assignment that is over: its records come again, to somebody.
   * @returns whether the group's offset was committed
   */
  commitOffsets(): Promise<boolean>;
}

/** What became of a chunk. Nothing of an abandoned one has been committed; it is delivered again. */
export type ChunkOutcome = 'accepted' | 'abandoned';

/**
 * Where records come from: a member of a consumer group. It guarantees that
 * - the chunks of one partition come one after the other, in order, and none is left out;
 * - offsets move by `commitOffsets` only;
 * - it keeps its place in the group while a chunk is being handled, however long that takes;
 * - it comes back by itself, for ever, when the broker or the client library fails.
 */
export interface RecordSource {
  /** Begins delivering in the background. `onChunk` throws only what `commitOffsets` threw. */
  start(onChunk: (chunk: RecordChunk) => Promise<ChunkOutcome>): void;
  /** Lets chunks in hand be finished, delivers no more, and leaves the group. */
  stop(): Promise<void>;
  /** Whether it is a member of its group and has shown a sign of life lately. */
  isHealthy(): boolean;
}
