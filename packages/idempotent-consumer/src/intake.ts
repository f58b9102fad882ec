import { setTimeout as sleep } from 'node:timers/promises';
import { acceptAsDead, acceptChunk, type OnAccepted } from './accept.ts';
import { type Acceptance, type AcceptDeps, isStandstill } from './accepting-transaction.ts';
import { fullJitterMs } from './backoff.ts';
import { beginAlone, beginChunk, type ChunkPlace, endChunk } from './chunk-starts.ts';
import type { ConsumerCounts } from './counts.ts';
import type { ConsumerError } from './errors.ts';
import { asError } from './reason.ts';
import { createRecentIds } from './recent-ids.ts';
import type { ConsumedRecord } from './record.ts';
import type { Company, Slots } from './slots.ts';
import { type Reading, type SortedRecords, sortRecords } from './sort-records.ts';
import type { ChunkOutcome, RecordChunk } from './source.ts';
import type { ConsumerTransaction } from './transaction.ts';
import { isTransient } from './transient.ts';

/** What taking chunks in needs. */
export interface IntakeDeps<E, Tx extends ConsumerTransaction> extends AcceptDeps<E, Tx> {
  readonly groupId: string;
  readonly reading: Reading<E>;
  readonly slots: Slots;
  readonly company: Company;
  readonly counts: ConsumerCounts;
  /** Resolves when a chunk may be tried: the consumer is not paused, and the kill switch gives a turn. */
  readonly turn: (chunk: RecordChunk) => Promise<void>;
  readonly onAccepted: OnAccepted;
  /** Something of a chunk was accepted. */
  readonly onProgress: (chunk: RecordChunk) => void;
  readonly onSkipped: (count: number) => void;
  /** The kill switch tripped, or `routeError` answered "stop". */
  readonly onStandstill: (error: ConsumerError) => void;
  readonly startsMax: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

/** From this try of a chunk on somebody should look: with the default backoff about 20 s have gone by. */
const loudFrom = 10;
/** Enough for what is delivered twice in a row, as by a relay that died or a source that was built anew; about 1 MB. */
const recentIdsMax = 5_000;

type Records = RecordChunk['records'];

/**
 * Takes over a chunk: decodes it, accepts it in the database, then commits its offsets. Tries for ever, unless the chunk
 * is no longer ours; only what is no event's fault is waited for, and nobody else waits with it.
 */
export function createIntake<E, Tx extends ConsumerTransaction>(
  deps: IntakeDeps<E, Tx>,
): (chunk: RecordChunk) => Promise<ChunkOutcome> {
  const { consumerName, groupId, transaction, logger, counts, company, crashPoint } = deps;
  const untimed = { signal: new AbortController().signal };
  const recent = createRecentIds(recentIdsMax);

  async function onChunk(chunk: RecordChunk): Promise<ChunkOutcome> {
    const all = await read(chunk, chunk.records);
    if (all === undefined) return 'abandoned';
    const sorted = { ...all, events: recent.without(all.events) };
    const isHandled = sorted.events.length + sorted.invalid.length > 0;
    if (isHandled && !(await takeOver(chunk, sorted))) return 'abandoned';
    recent.committed(sorted.events);
    deps.onSkipped(sorted.skipped);
    counts.duplicates += all.events.length - sorted.events.length;
    if (isHandled) crashPoint('consumer.offsets.before-commit');
    await chunk.commitOffsets();
    if (isHandled) crashPoint('consumer.offsets.after-commit');
    return 'accepted';
  }

  /** Tries for ever, unless the chunk is no longer ours: what `decode` needs may not be there for the moment. */
  async function read(
    chunk: RecordChunk,
    records: readonly ConsumedRecord[],
  ): Promise<SortedRecords<E> | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await sortRecords(records, deps.reading);
      } catch (error) {
        counts.retries++;
        await waitAfter(error, attempt, chunk);
        if (chunk.signal.aborted) return undefined;
      }
    }
  }

  async function takeOver(chunk: RecordChunk, sorted: SortedRecords<E>): Promise<boolean> {
    const place = placeOf(chunk.records[0]);
    let isBegun = false;
    const outcome = await untilDone(chunk, place, company.beside, async () => {
      isBegun ||= await transaction((tx) => beginChunk(tx, place), untimed);
      if (!isBegun) return 'suspect';
      crashPoint('consumer.accept.begun');
      await acceptChunk(deps, { ...sorted, place }, acceptedOf(chunk));
      crashPoint('consumer.accept.after-commit');
      return 'accepted';
    });
    if (outcome !== 'suspect') return outcome === 'accepted';
    logger.warn(
      entryOf(chunk),
      'a process died in this chunk; its events are done one at a time, with nothing beside',
    );
    return singly(chunk);
  }

  /** Each record is begun, counted and committed on its own, so that the one that ends its process is found. */
  async function singly(chunk: RecordChunk): Promise<boolean> {
    for (const record of chunk.records) {
      const sorted = await read(chunk, [record]);
      if (sorted === undefined) return false;
      const isHandled = sorted.events.length + sorted.invalid.length > 0;
      if (isHandled && !(await takeOverAlone(chunk, { ...sorted, place: placeOf(record) }))) return false;
      await chunk.commitOffsets(record.offset);
    }
    return true;
  }

  async function takeOverAlone(
    chunk: RecordChunk,
    acceptance: Acceptance<E> & { readonly place: ChunkPlace },
  ): Promise<boolean> {
    const { place } = acceptance;
    let starts = 0;
    const outcome = await untilDone(chunk, place, company.alone, async () => {
      if (starts === 0) starts = await transaction((tx) => beginAlone(tx, place), untimed);
      if (starts > deps.startsMax) await acceptAsDead(deps, acceptance, starts, acceptedOf(chunk));
      else await acceptChunk(deps, acceptance, acceptedOf(chunk));
      crashPoint('consumer.accept.after-commit');
      return 'accepted';
    });
    return outcome !== undefined;
  }

  const acceptedOf =
    (chunk: RecordChunk): OnAccepted =>
    (accepted) => {
      deps.onProgress(chunk);
      deps.onAccepted(accepted);
    };

  /**
   * Tries for ever, unless the chunk is no longer ours to wait for; holds a slot only while it tries. A chunk that is
   * given up has ended in a way that its process knows of: that is no start without an end.
   */
  async function untilDone<R>(
    chunk: RecordChunk,
    place: ChunkPlace,
    inCompany: Company['beside'],
    work: () => Promise<R>,
  ): Promise<R | undefined> {
    for (let attempt = 1; ; attempt++) {
      await deps.turn(chunk);
      if (chunk.signal.aborted) {
        deps.killSwitch.giveBackTurn();
        if (attempt > 1) await end(chunk, place);
        return undefined;
      }
      try {
        return await deps.slots.run(() => inCompany(work));
      } catch (error) {
        counts.retries++;
        if (isStandstill(error)) deps.onStandstill(error);
        else await waitAfter(error, attempt, chunk);
      }
    }
  }

  async function end(chunk: RecordChunk, place: ChunkPlace): Promise<void> {
    await transaction((tx) => endChunk(tx, place), untimed).catch((error) => {
      logger.warn(
        { ...entryOf(chunk), err: asError(error) },
        'the end of an abandoned chunk could not be noted',
      );
    });
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
