import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { type Accepted, acceptChunk } from './accept.ts';
import { assertMigrated } from './admission.ts';
import { fullJitterMs } from './backoff.ts';
import type { DeadLetterSink } from './dead-letters.ts';
import { ConsumerError } from './errors.ts';
import { createKafkajsSource } from './kafkajs.ts';
import { type Logger, silentLogger } from './logger.ts';
import { type Decode, eventIdProblem, type SortedRecords, sortRecords } from './record.ts';
import type { ChunkOutcome, RecordChunk } from './source.ts';
import type { ConsumerTransaction, RunTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

/** What a consumer works with. */
export interface ConsumerDeps<Tx extends ConsumerTransaction> {
  /** The caller's kafkajs client. */
  readonly kafka: Kafka;
  readonly transaction: RunTransaction<Tx>;
  /** Told of every new dead letter in its transaction; without one only the table is written. */
  readonly deadLetterSink?: DeadLetterSink<Tx>;
  readonly logger?: Logger;
  /** Called at named places that a crash must not harm; does nothing in production. */
  readonly crashPoint?: (point: string) => void;
}

/** How a consumer behaves. */
export interface ConsumerOptions<E, Tx extends ConsumerTransaction> {
  /** Kafka's consumer group. */
  readonly groupId: string;
  /** The logical consumer whose inbox this is: the same for all replicas, and after a change of group. */
  readonly workerId: string;
  /** They must exist; nothing is created. A new group begins at their beginning. */
  readonly topics: readonly string[];
  readonly decode: Decode<E>;
  /**
   * Handles new events, in the order of their partition, at least one and none twice. All it does must happen in `tx`
   * and be undone with it, for it may be called again with the same events, or with some of them, after a rollback.
   */
  readonly handle: (tx: Tx, events: E[]) => Promise<void>;
  /** Events of one transaction at most; 500. */
  readonly chunkSizeMax?: number;
  /** Partitions handled at the same time at most, each with a connection; 3. */
  readonly partitionsInParallelMax?: number;
  /** After this long without a heartbeat the group gives our partitions to others; 30 s. */
  readonly sessionTimeoutMs?: number;
  /** How long the group waits for a member that is busy, when partitions move; 60 s. */
  readonly rebalanceTimeoutMs?: number;
  /** Backoff of a chunk that cannot be accepted for now; 100 ms, doubling. */
  readonly retryBaseMs?: number;
  /** Its longest delay; 10 s. */
  readonly retryMaxMs?: number;
  /** How long `stop` waits for the group; 10 s. */
  readonly stopTimeoutMs?: number;
}

/** Sums since the consumer was created. */
export interface ConsumerCounts {
  /** Events handled, committed. */
  handled: number;
  /** Events that came again. */
  duplicates: number;
  /** Records of types that are not handled. */
  skipped: number;
  /** New dead letters. */
  deadLetters: number;
  /** Chunks that had to be tried once more. */
  retries: number;
}

/** A running member of a consumer group. */
export interface Consumer {
  /**
   * Begins in the background; it joins its group as soon as Kafka lets it. Whether the tables are there is looked at
   * first, if the database answers.
   * @throws ConsumerError `CONSUMER_NOT_MIGRATED`
   */
  start(): Promise<void>;
  /** Finishes the chunks in hand, commits their offsets and leaves the group. Final. */
  stop(): Promise<void>;
  /** Whether it is in its group and has shown a sign of life lately. */
  isHealthy(): boolean;
  counts(): Readonly<ConsumerCounts>;
}

const defaults = {
  chunkSizeMax: 500,
  partitionsInParallelMax: 3,
  sessionTimeoutMs: 30_000,
  rebalanceTimeoutMs: 60_000,
  retryBaseMs: 100,
  retryMaxMs: 10_000,
  stopTimeoutMs: 10_000,
};

/** From this try of a chunk on somebody should look: with the default backoff about 20 s have gone by. */
const loudFrom = 10;

/**
 * An idempotent consumer: every event is handled once in effect, however often it is delivered.
 *
 * A chunk of records is accepted in one transaction (see {@link acceptChunk}); only when that is committed are its
 * offsets. An event that fails for good becomes a dead letter and its neighbours do not notice. A chunk that cannot
 * be accepted for now is tried again for ever, with a growing delay and a log line each time, an error in the end.
 * @throws ConsumerError `CONSUMER_OPTION_INVALID`
 */
export function createConsumer<E, Tx extends ConsumerTransaction>(
  deps: ConsumerDeps<Tx>,
  options: ConsumerOptions<E, Tx>,
): Consumer {
  const settings = { ...defaults, ...options };
  checkOptions(settings);
  const { workerId, groupId, decode, handle } = settings;
  const { logger = silentLogger, crashPoint = () => {}, transaction, deadLetterSink } = deps;
  const accepting = { workerId, transaction, handle, deadLetterSink, crashPoint };
  const counts: ConsumerCounts = { handled: 0, duplicates: 0, skipped: 0, deadLetters: 0, retries: 0 };

  async function onChunk(chunk: RecordChunk): Promise<ChunkOutcome> {
    const sorted = sortRecords(chunk.records, decode);
    const accepted = await acceptUntilDone(chunk, sorted);
    if (accepted === undefined) return 'abandoned';
    count(chunk, sorted, accepted);
    const isHandled = sorted.events.length + sorted.invalid.length > 0;
    if (isHandled) crashPoint('consumer.offsets.before-commit');
    await chunk.commitOffsets();
    if (isHandled) crashPoint('consumer.offsets.after-commit');
    return 'accepted';
  }

  /** Tries for ever, unless the chunk is no longer ours to wait for. */
  async function acceptUntilDone(
    chunk: RecordChunk,
    sorted: SortedRecords<E>,
  ): Promise<Accepted | undefined> {
    for (let attempt = 1; !chunk.signal.aborted; attempt++) {
      try {
        const accepted = await acceptChunk(accepting, sorted);
        if (accepted.handled + accepted.deadLetters.length > 0) crashPoint('consumer.accept.after-commit');
        return accepted;
      } catch (error) {
        counts.retries++;
        await waitAfter(error, attempt, chunk);
      }
    }
    return undefined;
  }

  async function waitAfter(error: unknown, attempt: number, chunk: RecordChunk): Promise<void> {
    const delayMs = fullJitterMs(attempt, { baseMs: settings.retryBaseMs, maxMs: settings.retryMaxMs });
    const entry = { ...placeOf(chunk), attempt, delayMs, err: error };
    if (!isTransient(error)) {
      logger.error(entry, 'chunk cannot be accepted, through no fault of its events; trying again');
    } else if (attempt >= loudFrom) {
      logger.error(entry, 'chunk not accepted for long, its partition waits; trying again');
    } else logger.warn(entry, 'chunk not accepted for now, trying again');
    // Ends early, without an error, when it becomes pointless to wait.
    await sleep(delayMs, undefined, { signal: chunk.signal }).catch(() => undefined);
  }

  function count(chunk: RecordChunk, { skipped }: SortedRecords<E>, accepted: Accepted): void {
    const { handled, duplicates, deadLetters } = accepted;
    counts.handled += handled;
    counts.duplicates += duplicates;
    counts.skipped += skipped;
    counts.deadLetters += deadLetters.length;
    for (const { topic, partition, offset, eventId, reason } of deadLetters) {
      logger.warn({ workerId, topic, partition, offset, eventId, reason }, 'dead letter');
    }
    const sums = { handled, duplicates, skipped, deadLetters: deadLetters.length };
    logger.debug({ ...placeOf(chunk), ...sums }, 'chunk accepted');
  }

  function placeOf({ records }: RecordChunk) {
    const { topic, partition, offset } = records[0];
    return { groupId, topic, partition, firstOffset: offset, records: records.length };
  }

  const source = createKafkajsSource({ kafka: deps.kafka, logger }, settings);
  return {
    start: async () => {
      await assertMigrated(transaction);
      source.start(onChunk);
    },
    stop: () => source.stop(),
    isHealthy: () => source.isHealthy(),
    counts: () => ({ ...counts }),
  };
}

function checkOptions(
  settings: typeof defaults & { workerId: string; groupId: string; topics: readonly string[] },
) {
  const refuse = (message: string) => {
    throw new ConsumerError('CONSUMER_OPTION_INVALID', message);
  };
  for (const name of Object.keys(defaults) as (keyof typeof defaults)[]) {
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1)
      refuse(`${name} is not a positive integer`);
  }
  if (settings.groupId === '') refuse('groupId is empty');
  if (settings.topics.length === 0) refuse('topics is empty');
  // A worker id is the other half of the inbox's key.
  const problem = eventIdProblem(settings.workerId);
  if (problem !== undefined) refuse(problem.replace('event id', 'workerId'));
}
