/** What the source asks of the consumers that it has made; the caller adds how its cluster is reached. */
export interface PlatformaticConsumerOptions {
  groupId: string;
  groupProtocol: 'classic' | 'consumer';
  sessionTimeout: number;
  rebalanceTimeout: number;
  heartbeatInterval: number;
  /** A join is answered only when all members have joined. */
  requestTimeout: number;
  autocommit: false;
  autocreateTopics: false;
  /** The source repeats by itself: the client would commit under another generation than the one asked for. */
  retries: 0;
}

/** The part of `@platformatic/kafka`'s `Consumer` that is used; without deserializers, so that records are bytes. */
export interface PlatformaticConsumer {
  memberId: string | null;
  readonly generationId: number;
  readonly assignments: readonly Assignment[] | null;
  readonly topics: { track(topic: string): unknown };
  // biome-ignore lint/suspicious/noExplicitAny: each event has a payload of its own
  on(event: string, listener: (...payload: any[]) => void): unknown;
  joinGroup(options: object): Promise<unknown>;
  leaveGroup(force: boolean): Promise<unknown>;
  close(force: boolean): Promise<unknown>;
  consume(options: {
    topics: string[];
    mode: 'committed';
    fallbackMode: 'fail';
    autocommit: false;
  }): Promise<PlatformaticStream>;
  metadata(options: { topics: string[]; forceUpdate: boolean }): Promise<ClusterMetadata>;
  // biome-ignore lint/suspicious/noExplicitAny: the pool is the client's own and only handed back to it
  fetch(options: FetchOptions<any>): Promise<FetchResponse>;
  commit(options: { offsets: OffsetToCommit[] }): Promise<unknown>;
  listCommittedOffsets(options: { topics: Assignment[] }): Promise<ReadonlyMap<string, readonly bigint[]>>;
  listOffsets(options: OffsetQuery): Promise<ReadonlyMap<string, readonly bigint[]>>;
  listOffsetsWithTimestamps(
    options: OffsetQuery,
  ): Promise<ReadonlyMap<string, ReadonlyMap<number, { readonly offset: bigint }>>>;
}

/** Partitions of a topic. */
export interface Assignment {
  topic: string;
  partitions: number[];
}

/** The part of a `MessagesStream` that is used: its connections, and that a group is joined for it. */
export interface PlatformaticStream {
  readonly connections: { get(broker: Broker): Promise<unknown> };
  // biome-ignore lint/suspicious/noExplicitAny: as above
  on(event: string, listener: (...payload: any[]) => void): unknown;
}

/** Where a broker listens. */
export interface Broker {
  host: string;
  port: number;
}

export interface ClusterMetadata {
  readonly brokers: ReadonlyMap<number, Broker>;
  readonly topics: ReadonlyMap<
    string,
    { readonly id: string; readonly partitionsCount: number; readonly partitions: { leader: number }[] }
  >;
}

export interface FetchOptions<Pool = object> {
  node: number;
  topics: { topicId: string; partitions: FetchPartition[] }[];
  connectionPool: Pool;
  maxWaitTime: number;
  minBytes: number;
  maxBytes: number;
  isolationLevel: 1;
}

export interface FetchPartition {
  partition: number;
  fetchOffset: bigint;
  partitionMaxBytes: number;
  currentLeaderEpoch: number;
  lastFetchedEpoch: number;
}

export interface FetchResponse {
  readonly errorCode: number;
  readonly responses: readonly {
    readonly topicId: string;
    readonly partitions: readonly FetchedPartition[];
  }[];
}

export interface FetchedPartition {
  readonly partitionIndex: number;
  readonly errorCode: number;
  readonly abortedTransactions:
    | readonly { readonly producerId: bigint; readonly firstOffset: bigint }[]
    | null;
  readonly records?: readonly RecordsBatch[] | null;
}

export interface RecordsBatch {
  readonly firstOffset: bigint;
  readonly lastOffsetDelta: number;
  readonly attributes: number;
  readonly firstTimestamp: bigint;
  readonly maxTimestamp: bigint;
  readonly producerId: bigint;
  readonly records: readonly ClientRecord[];
}

export interface ClientRecord {
  readonly offsetDelta: number;
  readonly timestampDelta: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[];
}

export interface OffsetToCommit {
  topic: string;
  partition: number;
  offset: bigint;
  leaderEpoch: number;
}

export interface OffsetQuery {
  topics: string[];
  partitions: Record<string, number[]>;
  timestamp: bigint;
}
