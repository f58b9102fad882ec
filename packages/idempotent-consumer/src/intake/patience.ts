import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { Count } from '../counts.ts';
import type { ConsumerError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { KillSwitch } from '../operation/kill-switch.ts';
import { asError } from '../reason.ts';
import type { ConsumedRecord } from '../record.ts';
import type { RecordChunk } from '../source.ts';
import { type ConsumerTransaction, type RunTransaction, runIn } from '../transaction.ts';
import { isTransient } from '../transient.ts';
import { isStandstill } from './accepting-transaction.ts';
import { type ChunkPlace, endChunk } from './chunk-starts.ts';
import type { Company, Slots } from './slots.ts';
import { type Reading, type SortedRecords, sortRecords } from './sort-records.ts';

/** What waiting for a chunk's turn, and for better times, needs. */
export interface PatienceDeps<E, Tx extends ConsumerTransaction> {
  readonly consumerName: string;
  readonly groupId: string;
  readonly transaction: RunTransaction<Tx>;
  readonly reading: Reading<E>;
  readonly logger: Logger;
  readonly count: Count;
  readonly slots: Slots;
  readonly killSwitch: Pick<KillSwitch, 'giveBackTurn'>;
  /** Resolves when a chunk may be tried: the consumer is not paused, and the kill switch gives a turn. */
  readonly turn: (chunk: RecordChunk) => Promise<void>;
  /** The kill switch tripped, or `routeError` answered "stop". */
  readonly onStandstill: (error: ConsumerError) => void;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

/** Tries for ever what is no event's fault, unless the chunk is no longer ours to wait for; then it is undefined. */
export interface Patience<E> {
  /** What `decode` needs may not be there for the moment. */
  read(chunk: RecordChunk, records: readonly ConsumedRecord[]): Promise<SortedRecords<E> | undefined>;
  /**
   * Holds a slot only while it tries. A chunk that is given up has ended in a way that its process knows of: that is
   * no start without an end, at the place where it was noted.
   */
  untilDone<R>(
    chunk: RecordChunk,
    place: ChunkPlace | undefined,
    inCompany: Company['beside'],
    work: () => Promise<R>,
  ): Promise<R | undefined>;
}

/** From this try of a chunk on somebody should look: with the default backoff about 20 s have gone by. */
const loudFrom = 10;

export function createPatience<E, Tx extends ConsumerTransaction>(deps: PatienceDeps<E, Tx>): Patience<E> {
  const { transaction, logger, count } = deps;

  async function waitAfter(error: unknown, attempt: number, chunk: RecordChunk): Promise<void> {
    const delayMs = fullJitterMs(attempt, deps.backoff);
    const entry = { ...entryOf(deps, chunk), attempt, delayMs, err: asError(error) };
    if (!isTransient(error)) {
      logger.error(entry, 'chunk cannot be accepted, through no fault of its events; trying again');
    } else if (attempt >= loudFrom) {
      logger.error(entry, 'chunk not accepted for long, its partition waits; trying again');
    } else logger.warn(entry, 'chunk not accepted for now, trying again');
    // Ends early, without an error, when it becomes pointless to wait.
    await sleep(delayMs, undefined, { signal: chunk.signal }).catch(() => undefined);
  }

  async function end(chunk: RecordChunk, place: ChunkPlace): Promise<void> {
    await runIn(transaction, (tx) => endChunk(tx, place)).catch((error) => {
      const entry = { ...entryOf(deps, chunk), err: asError(error) };
      logger.warn(entry, 'the end of an abandoned chunk could not be noted');
    });
  }

  return {
    async read(chunk, records) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await sortRecords(records, deps.reading);
        } catch (error) {
          count('retries');
          await waitAfter(error, attempt, chunk);
          if (chunk.signal.aborted) return undefined;
        }
      }
    },
    async untilDone(chunk, place, inCompany, work) {
      for (let attempt = 1; ; attempt++) {
        await deps.turn(chunk);
        if (chunk.signal.aborted) {
          deps.killSwitch.giveBackTurn();
          if (attempt > 1 && place !== undefined) await end(chunk, place);
          return undefined;
        }
        try {
          return await deps.slots.run(() => inCompany(work));
        } catch (error) {
          count('retries');
          if (isStandstill(error)) deps.onStandstill(error);
          else await waitAfter(error, attempt, chunk);
        }
      }
    },
  };
}

/** A chunk as a log line names it. */
export function entryOf(
  { consumerName, groupId }: { readonly consumerName: string; readonly groupId: string },
  { records }: RecordChunk,
) {
  const { topic, partition, offset } = records[0];
  return { consumerName, groupId, topic, partition, firstOffset: offset, records: records.length };
}
