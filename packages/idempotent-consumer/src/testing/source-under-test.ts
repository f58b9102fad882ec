import type { RecordSource } from '../source.ts';

/** What a source under test is made with; where an option is left out, its default is expected. */
export interface SourceOptionsUnderTest {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly begin?: 'earliest' | 'latest' | { readonly timestampMs: number };
  readonly offsetOutOfRange?: 'earliest' | 'latest' | 'stop';
  readonly chunkSizeMax?: number;
  readonly chunkBytesMax?: number;
}

/** A record to be put on a topic. */
export interface ProducedRecord {
  readonly partition: number;
  readonly key?: Uint8Array | null;
  readonly value?: Uint8Array | null;
  /** In this order; names may repeat. */
  readonly headers?: readonly (readonly [name: string, value: Uint8Array | null])[];
  /** Now, when left out. */
  readonly timestampMs?: number;
}

/** What the contract needs of a source and its broker. */
export interface RecordSourceUnderTest {
  /** Makes a source, another member of the group with each call; it is started and stopped by the contract. */
  createSource(options: SourceOptionsUnderTest): RecordSource;
  /**
   * The session time-out of the members, one to ten seconds. A rebalance should wait no longer than twice as long, and
   * heartbeats be sent at least three times in it.
   */
  readonly sessionTimeoutMs: number;
  /** Creates a topic with a name of its own, and returns the name; with the broker's `compression.type`. */
  createTopic(partitions: number, compression?: 'gzip' | 'snappy' | 'lz4' | 'zstd'): Promise<string>;
  /** Puts records on a topic, in this order. */
  produce(topic: string, records: readonly ProducedRecord[]): Promise<void>;
  /** The same in one transaction that ends so. */
  produceInTransaction(
    topic: string,
    records: readonly ProducedRecord[],
    end: 'commit' | 'abort',
  ): Promise<void>;
  /** What the group has committed for a partition, or null. */
  committedOffset(groupId: string, topic: string, partition: number): Promise<string | null>;
  /** Deletes the records before an offset. */
  deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void>;
  close(): Promise<void>;
}
