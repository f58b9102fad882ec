import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from './backoff.ts';
import { ConsumerError } from './errors.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions } from './platformatic/client.ts';
import { boundDecompression, type CompressionAlgorithms } from './platformatic/decompression.ts';
import type { Begin } from './platformatic/offsets.ts';
import { createSession, type Session, type SessionOptions } from './platformatic/session.ts';
import type { RecordSink, RecordSource } from './source.ts';

export type {
  PlatformaticConsumer,
  PlatformaticConsumerOptions,
  PlatformaticStream,
} from './platformatic/client.ts';

/** What the source needs. */
export interface PlatformaticSourceDeps {
  /**
   * Makes a `Consumer` of `@platformatic/kafka`, without deserializers: `(options) => new Consumer({ clientId,
   * bootstrapBrokers, …, ...options })`, the given options last. Called at the start, and again whenever the client
   * has failed.
   */
  readonly createConsumer: (options: PlatformaticConsumerOptions) => PlatformaticConsumer;
  /**
   * The client's own export of this name. Without it there is no bound to what compressed batches may become: the
   * client knows none.
   */
  readonly compressionsAlgorithms?: CompressionAlgorithms;
}

/** How the member of the group behaves. */
export interface PlatformaticSourceOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /**
   * `classic` (default), or `consumer`: the group protocol of KIP-848, where the broker assigns the partitions, and a
   * member keeps what it has while others come and go. Its heartbeats and session are the broker's settings.
   */
  readonly groupProtocol?: 'classic' | 'consumer';
  /** Where a group begins that has committed nothing: `earliest` (default), `latest`, or at a time. */
  readonly begin?: 'earliest' | 'latest' | { readonly timestampMs: number };
  /**
   * What to do when the offset to be consumed next is not there, since retention was faster or the topic is another
   * one: go on at the `earliest` record (default) or the `latest`, or `stop` the partition. Logged as an error, and
   * counted, each time.
   */
  readonly offsetOutOfRange?: 'earliest' | 'latest' | 'stop';
  /** Records per chunk (500). */
  readonly chunkSizeMax?: number;
  /** Bytes per chunk (8 MiB); a larger record comes alone. */
  readonly chunkBytesMax?: number;
  /**
   * Bytes fetched ahead, over all partitions (10 MiB): one request has no more, and a partition that holds its share
   * is not fetched. Twice as much may be held, as it decompresses; a batch that is larger comes nevertheless.
   */
  readonly fetchBytesMax?: number;
  /**
   * Bytes that the compressed batches of one request may become (64 MiB), with `compressionsAlgorithms`. A batch that
   * alone becomes more is not read: its partition waits, which is logged with its offset, and counted.
   */
  readonly decompressedBytesMax?: number;
  /** A member that is silent this long is put out of the group (30,000). */
  readonly sessionTimeoutMs?: number;
  /** How long a rebalance waits for its members (60,000). */
  readonly rebalanceTimeoutMs?: number;
  /** Also how soon a member sees that others came or went (3,000, and at most a third of the session). */
  readonly heartbeatIntervalMs?: number;
  /** How soon it is seen that a topic has more partitions (30,000). */
  readonly metadataMaxAgeMs?: number;
  /** How long `stop` waits for chunks in hand before it leaves the group without them (10,000). */
  readonly stopTimeoutMs?: number;
}

const mebibyte = 1024 * 1024;
const restartBackoff = { baseMs: 500, maxMs: 30_000 };

/**
 * A {@link RecordSource} on `@platformatic/kafka` 2.12. It uses the client's requests, and its membership in the group,
 * but not its `MessagesStream`: that one has one buffer for all partitions, bounded by a number of records, and reads
 * on after a rebalance at offsets that it knew before (platformatic/kafka#223).
 */
export function platformaticSource(
  { createConsumer, compressionsAlgorithms }: PlatformaticSourceDeps,
  options: PlatformaticSourceOptions,
): RecordSource {
  const settings = settingsOf(options);
  const { groupId } = settings;
  if (compressionsAlgorithms !== undefined) boundDecompression(compressionsAlgorithms);
  const stopping = new AbortController();
  const inHand = new Map<string, Promise<void>>();
  let session: Session | undefined;
  let running: Promise<void> | undefined;

  async function run(sink: RecordSink): Promise<void> {
    let failures = 0;
    while (!stopping.signal.aborted) {
      const begunMs = performance.now();
      session = createSession({ createConsumer, sink, inHand, stop: stopping.signal }, settings);
      const error = await session.ended;
      if (stopping.signal.aborted) return;
      const hasLasted = session.hasJoined() && performance.now() - begunMs > settings.client.sessionTimeout;
      failures = hasLasted ? 1 : failures + 1;
      const delayMs = fullJitterMs(failures, restartBackoff);
      sink.count('sourceRestarts');
      sink.logger.warn({ groupId, delayMs, err: error }, 'the source has lost its group, building it anew');
      // Ends early, without an error, on stop.
      await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  return {
    groupId,
    topics: settings.topics,
    start(sink) {
      running ??= run(sink);
    },
    async stop() {
      stopping.abort();
      await running;
    },
    isHealthy: () => !stopping.signal.aborted && session?.isHealthy() === true,
    positions: async () => (await session?.positions()) ?? [],
  };
}

function settingsOf(o: PlatformaticSourceOptions): SessionOptions {
  const begin: Begin = o.begin ?? 'earliest';
  const sessionTimeout = positive('sessionTimeoutMs', o.sessionTimeoutMs ?? 30_000);
  const rebalanceTimeout = positive('rebalanceTimeoutMs', o.rebalanceTimeoutMs ?? 60_000);
  const heartbeatMax = Math.floor(sessionTimeout / 3);
  const heartbeatInterval = positive(
    'heartbeatIntervalMs',
    o.heartbeatIntervalMs ?? Math.min(3_000, heartbeatMax),
  );
  if (!o.groupId) throw invalid('groupId', 'is empty');
  if (o.topics.length === 0) throw invalid('topics', 'is empty');
  if (rebalanceTimeout < sessionTimeout) throw invalid('rebalanceTimeoutMs', 'is below sessionTimeoutMs');
  if (heartbeatInterval > heartbeatMax)
    throw invalid('heartbeatIntervalMs', 'is above a third of sessionTimeoutMs');
  if (typeof begin === 'object' && !Number.isSafeInteger(begin.timestampMs))
    throw invalid('begin', 'has a timestampMs that is no whole number');
  const limit = (name: keyof PlatformaticSourceOptions, preset: number): number =>
    positive(name, (o[name] as number | undefined) ?? preset);
  return {
    client: {
      groupId: o.groupId,
      groupProtocol: o.groupProtocol ?? 'classic',
      sessionTimeout,
      rebalanceTimeout,
      heartbeatInterval,
      requestTimeout: rebalanceTimeout + 5_000,
      autocommit: false,
      autocreateTopics: false,
      retries: 0,
    },
    groupId: o.groupId,
    topics: [...new Set(o.topics)],
    begin,
    offsetOutOfRange: o.offsetOutOfRange ?? 'earliest',
    chunkSizeMax: limit('chunkSizeMax', 500),
    chunkBytesMax: limit('chunkBytesMax', 8 * mebibyte),
    fetchBytesMax: limit('fetchBytesMax', 10 * mebibyte),
    decompressedBytesMax: limit('decompressedBytesMax', 64 * mebibyte),
    metadataMaxAgeMs: limit('metadataMaxAgeMs', 30_000),
    stopTimeoutMs: limit('stopTimeoutMs', 10_000),
  };
}

function positive(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value <= 0) throw invalid(name, 'is no positive whole number');
  return value;
}

const invalid = (name: string, problem: string): ConsumerError =>
  new ConsumerError('CONSUMER_OPTION_INVALID', `${name} ${problem}`);
