import { setTimeout as sleep } from 'node:timers/promises';
import type { EachBatchPayload, Kafka, Consumer as KafkajsConsumer, KafkaMessage } from 'kafkajs';
import { fullJitterMs } from './backoff.ts';
import { stopIdleTimers } from './kafkajs-idle-timer.ts';
import type { Logger } from './logger.ts';
import type { ConsumedRecord } from './record.ts';
import type { ChunkOutcome, RecordChunk, RecordSource } from './source.ts';

/** How the member of the group behaves; `createConsumer` documents the values. */
export interface KafkajsSourceOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly chunkSizeMax: number;
  readonly partitionsInParallelMax: number;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly stopTimeoutMs: number;
}

type OnChunk = (chunk: RecordChunk) => Promise<ChunkOutcome>;

/** A broker answers a fetch at the latest after this long; it is also what a stop may have to wait for. */
const fetchWaitMs = 250;
/** Between two kafkajs consumers, when one has come to its end. */
const rebuildBackoff = { baseMs: 500, maxMs: 10_000 };

/**
 * A {@link RecordSource} on kafkajs 2.2.4. All that is peculiar to kafkajs is here:
 * - it sends no heartbeats while a batch is being handled (tulios/kafkajs#1396): a timer does;
 * - it may re-join while batches are being handled, and would then commit offsets of partitions that are somebody
 *   else's, or fail with a TypeError (#1046, #1366); `isStale` knows of seeks only: joins are counted;
 * - its `commitOffsets` does nothing once `stop` was called, the batch's own one works until the member leaves;
 * - after an error that it takes for final it ends, and may hang without a word (#659, #1277): it is watched and built
 *   anew, by us rather than by its own restart, so that there is one place that waits and tells;
 * - an offset out of range silently becomes the default one (#1119): never the end of the topic, that would be a loss.
 */
export function createKafkajsSource(
  deps: { readonly kafka: Kafka; readonly logger: Logger },
  options: KafkajsSourceOptions,
): RecordSource {
  const { logger } = deps;
  const { groupId } = options;
  stopIdleTimers();
  const stopping = new AbortController();
  let session: Session | undefined;
  let running: Promise<void> | undefined;

  async function run(onChunk: OnChunk): Promise<void> {
    let failures = 0;
    while (!stopping.signal.aborted) {
      session = createSession(deps, options, onChunk, stopping.signal);
      const error = await session.ended;
      if (stopping.signal.aborted) return;
      failures = session.hasJoined() ? 1 : failures + 1;
      const delayMs = fullJitterMs(failures, rebuildBackoff);
      logger.warn(
        { groupId, delayMs, err: error },
        'consumer lost its connection to the group, building it anew',
      );
      // Ends early, without an error, on stop.
      await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  return {
    start: (onChunk) => {
      running ??= run(onChunk);
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
    isHealthy: () => !stopping.signal.aborted && session?.isAlive() === true,
  };
}

/** The life of one kafkajs consumer. */
interface Session {
  /** Resolves when it is over and closed, with the error that ended it. */
  readonly ended: Promise<unknown>;
  hasJoined(): boolean;
  isAlive(): boolean;
}

function createSession(
  { kafka, logger }: { kafka: Kafka; logger: Logger },
  options: KafkajsSourceOptions,
  onChunk: OnChunk,
  stop: AbortSignal,
): Session {
  const { groupId, sessionTimeoutMs, rebalanceTimeoutMs } = options;
  const heartbeatIntervalMs = Math.floor(sessionTimeoutMs / 3);
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: sessionTimeoutMs,
    rebalanceTimeout: rebalanceTimeoutMs,
    heartbeatInterval: heartbeatIntervalMs,
    maxWaitTimeInMs: fetchWaitMs,
    allowAutoTopicCreation: false,
    retry: { retries: 5, restartOnFailure: async () => false },
  });
  const over = Promise.withResolvers<unknown>();
  const ending = new AbortController();
  const onStop = () => over.resolve(undefined);
  stop.addEventListener('abort', onStop);
  // While it re-joins it may be silent for as long as the group waits for its slowest member.
  const silenceMaxMs = rebalanceTimeoutMs + 2 * sessionTimeoutMs;
  const life = watch(consumer, silenceMaxMs, over.resolve);

  const eachBatch = (payload: EachBatchPayload) =>
    handleBatch(payload, onChunk, {
      ending: ending.signal,
      joins: life.joins,
      beatIntervalMs: heartbeatIntervalMs / 2,
      chunkSizeMax: options.chunkSizeMax,
    });

  async function startUp(): Promise<void> {
    await consumer.connect();
    if (ending.signal.aborted) return;
    await consumer.subscribe({ topics: [...options.topics], fromBeginning: true });
    if (ending.signal.aborted) return;
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: options.partitionsInParallelMax,
      eachBatch,
    });
  }

  async function live(): Promise<unknown> {
    const started = startUp().catch(over.resolve);
    const error = await over.promise;
    ending.abort();
    life.end();
    stop.removeEventListener('abort', onStop);
    // A consumer closed while it starts would start nevertheless, and hold partitions that nobody reads.
    const closed = started.then(() => consumer.disconnect()).then(() => 'closed');
    const limit = sleep(options.stopTimeoutMs, 'late', { ref: false });
    const failed = (reason: unknown) => {
      logger.warn({ groupId, err: reason }, 'consumer could not be closed in order');
    };
    if ((await Promise.race([closed.catch(failed), limit])) === 'late') {
      logger.warn(
        { groupId, stopTimeoutMs: options.stopTimeoutMs },
        'consumer is not closed yet, leaving it behind',
      );
    }
    return error;
  }

  return {
    ended: live(),
    hasJoined: () => life.joins() > 0,
    isAlive: () => !ending.signal.aborted && life.isAlive(),
  };
}

/** Counts joins and notices crashes and silence. */
function watch(consumer: KafkajsConsumer, silenceMaxMs: number, onEnd: (error: unknown) => void) {
  let joins = 0;
  let lastSignMs = performance.now();
  const sign = () => {
    lastSignMs = performance.now();
  };
  const { HEARTBEAT, FETCH, GROUP_JOIN, CRASH } = consumer.events;
  consumer.on(HEARTBEAT, sign);
  consumer.on(FETCH, sign);
  consumer.on(GROUP_JOIN, () => {
    joins++;
    sign();
  });
  consumer.on(CRASH, ({ payload }) => onEnd(payload.error));
  const isSilent = () => performance.now() - lastSignMs > silenceMaxMs;
  const timer = setInterval(() => {
    if (isSilent()) onEnd(new Error(`kafkajs has shown no sign of life for ${silenceMaxMs} ms`));
  }, silenceMaxMs / 4);
  timer.unref();
  return {
    joins: () => joins,
    isAlive: () => joins > 0 && !isSilent(),
    end: () => clearInterval(timer),
  };
}

interface BatchContext {
  readonly ending: AbortSignal;
  readonly joins: () => number;
  readonly beatIntervalMs: number;
  readonly chunkSizeMax: number;
}

async function handleBatch(
  payload: EachBatchPayload,
  onChunk: OnChunk,
  context: BatchContext,
): Promise<void> {
  const { batch } = payload;
  const joins = context.joins();
  const isStale = () => payload.isStale() || context.joins() !== joins;
  // Of several batches fetched together the later ones may have waited for long.
  await payload.heartbeat();
  const lost = new AbortController();
  const beat = setInterval(() => {
    if (isStale()) lost.abort();
    else payload.heartbeat().catch((error: unknown) => lost.abort(error));
  }, context.beatIntervalMs);
  const signal = AbortSignal.any([lost.signal, context.ending]);

  const commitOffsets = async (lastOffset: string): Promise<boolean> => {
    if (isStale()) return false;
    payload.resolveOffset(lastOffset);
    // Not lastOffset + 1: kafkajs also steps over the control records behind a batch. Its partitions here are texts.
    const { topics } = payload.uncommittedOffsets();
    const partitions = topics.find(({ topic }) => topic === batch.topic)?.partitions ?? [];
    const own = partitions.filter((one) => Number(one.partition) === batch.partition);
    if (own.length > 0) {
      await payload.commitOffsetsIfNecessary({ topics: [{ topic: batch.topic, partitions: own }] });
    }
    return true;
  };

  try {
    for (const records of chunksOf(batch, context.chunkSizeMax)) {
      if (signal.aborted || isStale() || !payload.isRunning()) break;
      const last = records[records.length - 1] ?? records[0];
      const outcome = await onChunk({ records, signal, commitOffsets: () => commitOffsets(last.offset) });
      if (outcome === 'abandoned') break;
    }
  } finally {
    clearInterval(beat);
  }
  // kafkajs learns from its own error that it has to re-join or to reconnect.
  if (lost.signal.aborted && !isStale()) throw lost.signal.reason;
}

function* chunksOf(
  { topic, partition, messages }: { topic: string; partition: number; messages: readonly KafkaMessage[] },
  sizeMax: number,
): Generator<[ConsumedRecord, ...ConsumedRecord[]]> {
  for (let from = 0; from < messages.length; from += sizeMax) {
    const [first, ...rest] = messages.slice(from, from + sizeMax).map((message) => ({
      topic,
      partition,
      offset: message.offset,
      key: message.key ?? null,
      value: message.value ?? null,
      headers: message.headers ?? {},
    }));
    if (first !== undefined) yield [first, ...rest];
  }
}
