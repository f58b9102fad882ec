import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from './backoff.ts';
import { ConsumerError } from './errors.ts';
import type { PlatformaticConsumer, PlatformaticConsumerOptions } from './platformatic/client.ts';
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
  /** Bytes per chunk (4 MiB); a larger record comes alone. */
  readonly chunkBytesMax?: number;
  /**
   * Bytes fetched ahead, over all partitions (16 MiB): one request has no more, and a partition that holds its share
   * is not fetched. Twice as much may be held, as it decompresses; a batch that is larger comes nevertheless, alone.
   */
  readonly fetchBytesMax?: number;
  /** A member that is silent this long is put out of the group (30,000). */
  readonly sessionTimeoutMs?: number;
  /** How long a rebalance waits for its members (60,000). */
  readonly rebalanceTimeoutMs?: number;
  /** Also how soon a member sees that others came or went (3,000). */
  readonly heartbeatIntervalMs?: number;
  /** How soon it is seen that a topic has more partitions (30,000). */
  readonly metadataMaxAgeMs?: number;
  /** How long `stop` waits for chunks in hand before it leaves the group without them (30,000). */
  readonly stopTimeoutMs?: number;
}

const restartBackoff = { baseMs: 500, maxMs: 30_000 };

/**
 * A {@link RecordSource} on `@platformatic/kafka` 2.12. It uses the client's requests, and its membership in the group,
 * but not its `MessagesStream`: that one has one buffer for all partitions, bounded by a number of records, and reads
 * on after a rebalance at offsets that it knew before (platformatic/kafka#223).
 */
export function platformaticSource(
  { createConsumer }: PlatformaticSourceDeps,
  options: PlatformaticSourceOptions,
): RecordSource {
  const settings = settingsOf(options);
  const { groupId } = settings;
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
      const hasLasted = session.hasJoined() && performance.now() - begunMs > settings.sessionTimeout;
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
  const heartbeatInterval = positive('heartbeatIntervalMs', o.heartbeatIntervalMs ?? 3_000);
  if (!o.groupId) throw invalid('groupId', 'is empty');
  if (o.topics.length === 0) throw invalid('topics', 'is empty');
  if (rebalanceTimeout < sessionTimeout) throw invalid('rebalanceTimeoutMs', 'is below sessionTimeoutMs');
  if (heartbeatInterval >= sessionTimeout)
    throw invalid('heartbeatIntervalMs', 'is not below sessionTimeoutMs');
  if (typeof begin === 'object' && !Number.isSafeInteger(begin.timestampMs))
    throw invalid('begin', 'has a timestampMs that is no whole number');
  return {
    groupId: o.groupId,
    topics: [...new Set(o.topics)],
    groupProtocol: o.groupProtocol ?? 'classic',
    begin,
    offsetOutOfRange: o.offsetOutOfRange ?? 'earliest',
    chunkSizeMax: positive('chunkSizeMax', o.chunkSizeMax ?? 500),
    chunkBytesMax: positive('chunkBytesMax', o.chunkBytesMax ?? 4 * 1024 * 1024),
    fetchBytesMax: positive('fetchBytesMax', o.fetchBytesMax ?? 16 * 1024 * 1024),
    stopTimeoutMs: positive('stopTimeoutMs', o.stopTimeoutMs ?? 30_000),
    metadataMaxAgeMs: positive('metadataMaxAgeMs', o.metadataMaxAgeMs ?? 30_000),
    sessionTimeout,
    rebalanceTimeout,
    heartbeatInterval,
    requestTimeout: rebalanceTimeout + 5_000,
    autocreateTopics: false,
    retries: 0,
  };
}

function positive(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value <= 0) throw invalid(name, 'is no positive whole number');
  return value;
}

const invalid = (name: string, problem: string): ConsumerError =>
  new ConsumerError('CONSUMER_OPTION_INVALID', `${name} ${problem}`);
