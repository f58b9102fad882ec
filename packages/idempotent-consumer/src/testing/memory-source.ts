import type { ConsumedRecord, HeaderValue } from '../record.ts';
import type { ChunkOutcome, RecordSink, RecordSource } from '../source.ts';

/** A record to deliver; what is left out is null, empty or counted on. */
export interface MemoryRecord {
  readonly topic?: string;
  readonly partition?: number;
  readonly offset?: string;
  readonly key?: string | Uint8Array | null;
  readonly value?: string | Uint8Array | null;
  readonly headers?: Readonly<Record<string, HeaderValue | readonly HeaderValue[]>>;
  readonly timestampMs?: number | null;
}

/** A {@link RecordSource} that a test feeds, for tests of a handler without Kafka. */
export interface MemorySource extends RecordSource {
  /**
   * Delivers records as one chunk per partition, and resolves when they are dealt with. Their offsets go on from the
   * last ones unless given, so the same records again are a redelivery only with their offsets or ids.
   */
  deliver(records: readonly MemoryRecord[]): Promise<readonly ChunkOutcome[]>;
  /** Delivers once more what was delivered last, at the same places. */
  redeliver(): Promise<readonly ChunkOutcome[]>;
  /** Lets a partition end so many records later, without delivering them: what a consumer sees as lag. */
  append(records: number, topic?: string, partition?: number): void;
  /** The offset after the last one that was committed, or null. */
  committed(topic?: string, partition?: number): string | null;
  /** Takes the partitions away: chunks in hand are aborted, and commit nothing. */
  revoke(): void;
}

/** A source of one group; the first topic is that of records that name none. */
export function memorySource(
  options: { readonly groupId?: string; readonly topics?: readonly string[] } = {},
): MemorySource {
  const { groupId = 'memory', topics = ['memory'] } = options;
  const next = new Map<string, bigint>();
  const committed = new Map<string, string>();
  const inHand = new Set<Promise<unknown>>();
  const stopping = new AbortController();
  let generation = new AbortController();
  let sink: RecordSink | undefined;
  let lastDelivered: readonly ConsumedRecord[] = [];

  const lane = (topic: string, partition: number) => `${partition}:${topic}`;

  function recordOf(record: MemoryRecord): ConsumedRecord {
    const { topic = topics[0] ?? 'memory', partition = 0 } = record;
    const at = lane(topic, partition);
    const offset = record.offset ?? String(next.get(at) ?? 0n);
    next.set(at, BigInt(offset) + 1n);
    const { key, value, headers = {}, timestampMs = Date.now() } = record;
    return { topic, partition, offset, key: bytes(key), value: bytes(value), headers, timestampMs };
  }

  async function deliverChunk(records: readonly ConsumedRecord[]): Promise<ChunkOutcome> {
    const [first, ...rest] = records;
    if (first === undefined || sink === undefined) throw new Error('the source is not started');
    const { signal } = generation;
    const lastOffset = (rest.at(-1) ?? first).offset;
    return sink.onChunk({
      records: [first, ...rest],
      signal: AbortSignal.any([signal, stopping.signal]),
      commitOffsets: async (upTo = lastOffset) => {
        if (signal.aborted) return false;
        committed.set(lane(first.topic, first.partition), String(BigInt(upTo) + 1n));
        return true;
      },
    });
  }

  async function deliverAll(records: readonly ConsumedRecord[]): Promise<readonly ChunkOutcome[]> {
    const chunks = Object.values(Object.groupBy(records, (record) => lane(record.topic, record.partition)));
    const delivered = Promise.all(chunks.map((chunk) => deliverChunk(chunk ?? [])));
    inHand.add(delivered);
    return delivered.finally(() => inHand.delete(delivered));
  }

  return {
    groupId,
    topics,
    start(given) {
      sink = given;
    },
    async stop() {
      stopping.abort();
      await Promise.allSettled(inHand);
    },
    isHealthy: () => sink !== undefined && !stopping.signal.aborted,
    positions: async () =>
      [...next].map(([at, end]) => {
        const [partition = '0', ...topic] = at.split(':');
        const position = { topic: topic.join(':'), partition: Number(partition), end: String(end) };
        return { ...position, committed: committed.get(at) ?? null };
      }),
    deliver(records) {
      lastDelivered = records.map(recordOf);
      return deliverAll(lastDelivered);
    },
    redeliver: () => deliverAll(lastDelivered),
    append(records, topic = topics[0] ?? 'memory', partition = 0) {
      const at = lane(topic, partition);
      next.set(at, (next.get(at) ?? 0n) + BigInt(records));
    },
    committed: (topic = topics[0] ?? 'memory', partition = 0) =>
      committed.get(lane(topic, partition)) ?? null,
    revoke() {
      generation.abort();
      generation = new AbortController();
    },
  };
}

const bytes = (value: string | Uint8Array | null | undefined): Uint8Array | null =>
  typeof value === 'string' ? Buffer.from(value) : (value ?? null);
