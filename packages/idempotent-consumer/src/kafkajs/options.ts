import { ConsumerError } from '../errors.ts';

/** Options of {@link kafkajsSource}. */
export interface KafkajsSourceOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /**
   * Where the group begins in a partition for which it has committed nothing: at the first record there is (the
   * default), behind the last one, or at the first record of that time or later. The latter two are committed at once,
   * so that a restart before the first record begins at the same place.
   */
  readonly begin?: 'earliest' | 'latest' | { readonly timestampMs: number };
  /**
   * What to do where the group's offset is no longer on the topic, because records were deleted or the topic was made
   * anew: go on at the first record (the default), behind the last one, or stop the source. Each is logged as an error
   * and counted.
   */
  readonly offsetOutOfRange?: 'earliest' | 'latest' | 'stop';
  /** The group takes a member for dead after so long without a heartbeat; 30 s. */
  readonly sessionTimeoutMs?: number;
  /** 3 s, and at most a third of `sessionTimeoutMs`. A rebalance takes as long as the slowest member needs to hear of it. */
  readonly heartbeatIntervalMs?: number;
  /** How long the group waits for its slowest member when it rebalances; 60 s. */
  readonly rebalanceTimeoutMs?: number;
  /** How long `stop` waits for chunks in hand and for kafkajs before it leaves them behind, and the group; 10 s. */
  readonly stopTimeoutMs?: number;
  /** Bytes of one answer of a broker; 10 MiB. */
  readonly fetchBytesMax?: number;
  /** Bytes of one partition in it; 1 MiB. A batch that is larger comes nevertheless. */
  readonly partitionBytesMax?: number;
  /** Bytes that the compressed batches of one answer may become; 64 MiB. A batch that alone is larger is not read. */
  readonly decompressedBytesMax?: number;
  /** Records of a chunk; 500. */
  readonly chunkSizeMax?: number;
  /** Bytes of a chunk; 8 MiB. A record that is larger comes alone. */
  readonly chunkBytesMax?: number;
  /**
   * Adds snappy, lz4 and zstd to kafkajs's process-wide list of codecs, where it has none of its own, and bounds its
   * gzip for this source; true. Codecs that you have put there stay.
   */
  readonly registerCodecs?: boolean;
  /** Stops kafkajs's idle timers, for all clients of the process (tulios/kafkajs#1751); true. */
  readonly patchIdleTimer?: boolean;
  /**
   * Decodes headers for this source in linear time and with every name; true. kafkajs 2.2.4 needs 17 s for a record
   * with 10,000 headers.
   */
  readonly patchHeaderDecoder?: boolean;
}

/** All of them, with defaults. */
export type Settings = Required<KafkajsSourceOptions>;

const mebibyte = 1024 * 1024;

const defaults = {
  begin: 'earliest',
  offsetOutOfRange: 'earliest',
  sessionTimeoutMs: 30_000,
  rebalanceTimeoutMs: 60_000,
  stopTimeoutMs: 10_000,
  fetchBytesMax: 10 * mebibyte,
  partitionBytesMax: mebibyte,
  decompressedBytesMax: 64 * mebibyte,
  chunkSizeMax: 500,
  chunkBytesMax: 8 * mebibyte,
  registerCodecs: true,
  patchIdleTimer: true,
  patchHeaderDecoder: true,
} as const;

const heartbeatIntervalMs = 3_000;

/** Fills in the defaults; throws CONSUMER_OPTION_INVALID. */
export function settingsOf(options: KafkajsSourceOptions): Settings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const all: Omit<Settings, 'heartbeatIntervalMs'> & { heartbeatIntervalMs?: number } = {
    ...defaults,
    ...(Object.fromEntries(given) as unknown as KafkajsSourceOptions),
  };
  const heartbeatMaxMs = Math.floor(all.sessionTimeoutMs / 3);
  const settings: Settings = {
    ...all,
    heartbeatIntervalMs: all.heartbeatIntervalMs ?? Math.min(heartbeatIntervalMs, heartbeatMaxMs),
  };
  check(settings, heartbeatMaxMs);
  return settings;
}

const counts = [
  'sessionTimeoutMs',
  'heartbeatIntervalMs',
  'rebalanceTimeoutMs',
  'fetchBytesMax',
  'partitionBytesMax',
  'decompressedBytesMax',
  'chunkSizeMax',
  'chunkBytesMax',
] as const;

function check(settings: Settings, heartbeatMaxMs: number): void {
  const { groupId, topics, begin, offsetOutOfRange } = settings;
  const refuse = (message: string) => {
    throw new ConsumerError('CONSUMER_OPTION_INVALID', message);
  };
  if (typeof groupId !== 'string' || groupId === '') refuse('groupId must not be empty');
  if (!Array.isArray(topics) || topics.length === 0) refuse('topics must name at least one topic');
  if (topics.some((topic) => typeof topic !== 'string' || topic === '')) refuse('topics must be names');
  for (const name of counts) {
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1) {
      refuse(`${name} must be a whole number of at least 1, got ${settings[name]}`);
    }
  }
  if (settings.heartbeatIntervalMs > heartbeatMaxMs) {
    refuse(`heartbeatIntervalMs must be at most a third of sessionTimeoutMs, ${heartbeatMaxMs}`);
  }
  if (!Number.isFinite(settings.stopTimeoutMs) || settings.stopTimeoutMs < 0) {
    refuse('stopTimeoutMs must be at least 0');
  }
  const isTime = typeof begin === 'object' && begin !== null && Number.isSafeInteger(begin.timestampMs);
  if (begin !== 'earliest' && begin !== 'latest' && !isTime) {
    refuse("begin must be 'earliest', 'latest' or { timestampMs }");
  }
  if (!['earliest', 'latest', 'stop'].includes(offsetOutOfRange)) {
    refuse("offsetOutOfRange must be 'earliest', 'latest' or 'stop'");
  }
}
