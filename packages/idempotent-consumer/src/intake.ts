import { setTimeout as sleep } from 'node:timers/promises';
import { acceptAsDead, acceptChunk, type OnAccepted } from './accept.ts';
import { type Acceptance, type AcceptDeps, isStandstill } from './accepting-transaction.ts';
import { fullJitterMs } from './backoff.ts';
import { beginChunk, type ChunkPlace, endChunk } from './chunk-starts.ts';
import type { Count } from './counts.ts';
import type { ConsumerError } from './errors.ts';
import type { Histogram } from './metrics.ts';
import { asError } from './reason.ts';
import type { ConsumedRecord } from './record.ts';
import type { Slots } from './slots.ts';
import { type Reading, type SortedRecords, sortRecords } from './sort-records.ts';
import type { ChunkOutcome, RecordChunk } from './source.ts';
import type { ConsumerTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

/** What taking chunks in needs. */
export interface IntakeDeps<E, Tx extends ConsumerTransaction> extends AcceptDeps<E, Tx> {
  readonly groupId: string;
  readonly reading: Reading<E>;
  readonly slots: Slots;
  readonly count: Count;
  readonly acceptSeconds: Histogram | undefined;
  /** Resolves when a chunk may be tried: the consumer is not paused, and the kill switch gives a turn. */
  readonly turn: (chunk: RecordChunk) => Promise<void>;
  readonly onAccepted: OnAccepted;
  readonly onSkipped: (count: number) => void;
  /** The kill switch tripped, or `routeError` answered "stop". */
  readonly onStandstill: (error: ConsumerError) => void;
  readonly startsMax: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

/** From this try of a chunk on somebody should look: with the default backoff about 20 s have gone by. */
const loudFrom = 10;

type Records = RecordChunk['records'];

/**
 * Takes over a chunk: decodes it, accepts it in the database, then commits its offsets. Tries for ever, unless the chunk
 * is no longer ours; only what is no event's fault is waited for, and nobody else waits with it.
 */
export function createIntake<E, Tx extends ConsumerTransaction>(
  deps: IntakeDeps<E, Tx>,
): (chunk: RecordChunk) => Promise<ChunkOutcome> {
  const { consumerName, groupId, transaction, logger, count, crashPoint } = deps;
  const untimed = { signal: new AbortController().signal };

  async function onChunk(chunk: RecordChunk): Promise<ChunkOutcome> {
    const sorted = await sortRecords(chunk.records, deps.reading);
    const isHandled = sorted.events.length + sorted.invalid.length > 0;
    if (isHandled && !(await takeOver(chunk, sorted))) return 'abandoned';
    deps.onSkipped(sorted.skipped);
    if (isHandled) crashPoint('consumer.offsets.before-commit');
    await chunk.commitOffsets();
    if (isHandled) crashPoint('consumer.offsets.after-commit');
    return 'accepted';
  }

  async function takeOver(chunk: RecordChunk, sorted: SortedRecords<E>): Promise<boolean> {
    const place = placeOf(chunk.records[0]);
    const starts = await untilDone(chunk, () => transaction((tx) => beginChunk(tx, place), untimed));
    if (starts === undefined) return false;
    if (starts === 1 || chunk.records.length === 1) {
      return acceptOrEnd(chunk, { ...sorted, place }, starts);
    }
    logger.warn(
      { ...entryOf(chunk), starts },
      'a process died in this chunk; its events are done one at a time',
    );
    return singly(chunk);
  }

  /** Each record is begun, counted and committed on its own, so that the one that ends its process is found. */
  async function singly(chunk: RecordChunk): Promise<boolean> {
    for (const record of chunk.records) {
      const place = placeOf(record);
      const sorted = await sortRecords([record], deps.reading);
      const starts = await untilDone(chunk, () => transaction((tx) => beginChunk(tx, place), untimed));
      if (starts === undefined) return false;
      if (!(await acceptOrEnd(chunk, { ...sorted, place }, starts))) return false;
      await chunk.commitOffsets(record.offset);
    }
    return true;
  }

  /** When a chunk is given up, its process is there to say so: that is no start without an end. */
  async function acceptOrEnd(
    chunk: RecordChunk,
    acceptance: Acceptance<E> & { readonly place: ChunkPlace },
    starts: number,
  ): Promise<boolean> {
    const { events, invalid, place } = acceptance;
    const isDone = await untilDone(chunk, async () => {
      const begunMs = performance.now();
      if (starts > deps.startsMax) await acceptAsDead(deps, acceptance, starts, deps.onAccepted);
      else await acceptChunk(deps, acceptance, deps.onAccepted);
      if (events.length + invalid.length === 0) return true;
      deps.acceptSeconds?.observe((performance.now() - begunMs) / 1000);
      crashPoint('consumer.accept.after-commit');
      return true;
    });
    if (isDone) return true;
    await transaction((tx) => endChunk(tx, place), untimed).catch((error) => {
      logger.warn(
        { ...entryOf(chunk), err: asError(error) },
        'the end of an abandoned chunk could not be noted',
      );
    });
    return false;
  }

  /** Tries for ever, unless the chunk is no longer ours to wait for; holds a slot only while it tries. */
  async function untilDone<R>(chunk: RecordChunk, work: () => Promise<R>): Promise<R | undefined> {
    for (let attempt = 1; ; attempt++) {
      await deps.turn(chunk);
      if (chunk.signal.aborted) return undefined;
      try {
        return await deps.slots.run(work);
      } catch (error) {
        count('retries');
        if (isStandstill(error)) deps.onStandstill(error);
        else await waitAfter(error, attempt, chunk);
      }
    }
  }

  async function waitAfter(error: unknown, attempt: number, chunk: RecordChunk): Promise<void> {
    const delayMs = fullJitterMs(attempt, deps.backoff);
    const entry = { ...entryOf(chunk), attempt, delayMs, err: asError(error) };
    if (!isTransient(error)) {
      logger.error(entry, 'chunk cannot be accepted, through no fault of its events; trying again');
    } else if (attempt >= loudFrom) {
      logger.error(entry, 'chunk not accepted for long, its partition waits; trying again');
    } else logger.warn(entry, 'chunk not accepted for now, trying again');
    // Ends early, without an error, when it becomes pointless to wait.
    await sleep(delayMs, undefined, { signal: chunk.signal }).catch(() => undefined);
  }

  const placeOf = ({ topic, partition, offset }: ConsumedRecord): ChunkPlace => ({
    consumerName,
    groupId,
    topic,
    partition,
    firstOffset: offset,
  });

  const entryOf = ({ records }: { records: Records }) => {
    const { topic, partition, offset } = records[0];
    return { consumerName, groupId, topic, partition, firstOffset: offset, records: records.length };
  };

  return onChunk;
}
