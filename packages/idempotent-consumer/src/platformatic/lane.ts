import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import { type ChunkLimits, chunksOf, recordBytes } from '../chunks.ts';
import type { RecordSink } from '../source.ts';
import type { Place } from './membership.ts';
import type { FetchedRecords } from './records.ts';

/** What a lane needs of its session. */
export interface LaneDeps {
  readonly sink: RecordSink;
  readonly limits: ChunkLimits;
  /** Bytes held here at which no more are fetched. */
  readonly heldBytesMax: () => number;
  /** Resolves when nothing that an earlier lane of this partition delivered is in hand any more. */
  readonly before: Promise<void>;
  /** Whether the membership is still the one under which the lane was opened. */
  readonly isCurrent: () => boolean;
  readonly startOffset: () => Promise<bigint>;
  /** Where to go on from an offset that the partition does not have; undefined when nowhere. */
  readonly offsetAfterReset: (from: bigint) => Promise<bigint | undefined>;
  readonly commit: (offset: bigint, isOurs: () => boolean) => Promise<boolean>;
  /** Something has changed in what is to be fetched. */
  readonly wake: () => void;
}

/** A partition for as long as one membership has it: what was fetched of it, and the one chunk in hand. */
export interface Lane extends Place {
  /** Where to fetch next, or undefined while it has enough or waits. */
  wanted(): bigint | undefined;
  /** Milliseconds until a lane that failed may be fetched again. */
  pauseMs(): number;
  /** A fetch from `fetchOffset` succeeded and brought this, or nothing. */
  receive(fetched: FetchedRecords | undefined, fetchOffset: bigint): void;
  /** A fetch failed. */
  fail(): void;
  /** The offset that was fetched is not there. */
  outOfRange(fetchOffset: bigint): void;
  /** A fetch of several partitions could not be read: which of them it is shows when each is fetched alone. */
  isFetchedAlone: boolean;
  /** Fetches, or waits for the sink. */
  getsOn(silenceMaxMs: number): boolean;
  /** No more is delivered; what is in hand may be committed. */
  close(): void;
  /** The partition is ours no longer: nothing is committed either. */
  lose(): void;
  /** Resolves when nothing is in hand any more. */
  readonly dealtWith: Promise<void>;
}

const fetchBackoff = { baseMs: 100, maxMs: 10_000 };
const redeliveryBackoff = { baseMs: 50, maxMs: 5_000 };

export function createLane(place: Place, deps: LaneDeps): Lane {
  const { sink, limits } = deps;
  const ending = new AbortController();
  let isLost = false;
  let offset: bigint | undefined;
  let held: (FetchedRecords & { bytes: number })[] = [];
  let arrived = Promise.withResolvers<void>();
  let commits: Promise<unknown> = Promise.resolve();
  let failures = 0;
  let fetchedNotBeforeMs = 0;
  let isWithSink = true; // until the chunk of an earlier lane is dealt with
  let hasNowhereToGo = false;
  let rounds = 0;
  let lastSignMs = performance.now();

  ending.signal.addEventListener('abort', () => arrived.resolve());
  const isOurs = (): boolean => !isLost && deps.isCurrent();
  const pause = (ms: number) => sleep(ms, undefined, { signal: ending.signal }).catch(() => undefined);

  function commit(next: bigint): Promise<boolean> {
    const committed = commits.then(() => deps.commit(next, isOurs));
    commits = committed.catch(() => undefined);
    return committed;
  }

  /** Delivers until a chunk is abandoned or the lane ends; says whether anything was accepted. */
  async function deliver(): Promise<boolean> {
    let hasAccepted = false;
    for (;;) {
      const fetched = held[0];
      if (fetched === undefined) {
        isWithSink = false;
        await arrived.promise;
        if (ending.signal.aborted) return hasAccepted;
        arrived = Promise.withResolvers();
        continue;
      }
      isWithSink = true;
      const lastOffset = fetched.records.at(-1)?.offset;
      for (const records of chunksOf(fetched.records, limits)) {
        if (ending.signal.aborted || !deps.isCurrent()) return hasAccepted;
        const chunkEnd = (records.at(-1) ?? records[0]).offset;
        const commitOffsets = (upTo = chunkEnd): Promise<boolean> =>
          // Behind the last record there may be control records, which count as lag.
          commit(upTo === lastOffset ? (fetched.nextOffset as bigint) : BigInt(upTo) + 1n);
        const outcome = await sink.onChunk({ records, signal: ending.signal, commitOffsets });
        if (outcome === 'abandoned') return hasAccepted;
        hasAccepted = true;
      }
      held.shift();
      deps.wake();
    }
  }

  async function run(): Promise<void> {
    await deps.before;
    for (let fruitless = 0; !ending.signal.aborted; fruitless++) {
      rounds++;
      isWithSink = fruitless > 0; // a chunk that was abandoned waits a little
      if (fruitless > 0) await pause(fullJitterMs(fruitless, redeliveryBackoff));
      isWithSink = false;
      lastSignMs = performance.now();
      offset = await untilAnswered(deps.startOffset);
      deps.wake();
      const hasAccepted = await deliver().catch((error: unknown) => {
        sink.logger.warn({ ...place, err: error }, 'a chunk was not dealt with, its records come again');
        return false;
      });
      offset = undefined;
      held = [];
      if (hasAccepted) fruitless = 0;
    }
  }

  /** Asks until there is an answer; undefined when the lane ends before. */
  async function untilAnswered<T>(ask: () => Promise<T>): Promise<T | undefined> {
    for (let attempt = 1; !ending.signal.aborted; attempt++) {
      try {
        const answer = await ask();
        lastSignMs = performance.now();
        return answer;
      } catch (error) {
        if (ending.signal.aborted) break;
        const delayMs = fullJitterMs(attempt, fetchBackoff);
        sink.logger.warn({ ...place, delayMs, err: error }, 'the broker tells no offset, asking again');
        await pause(delayMs);
      }
    }
    return undefined;
  }

  const heldBytes = (): number => held.reduce((sum, { bytes }) => sum + bytes, 0);

  return {
    ...place,
    isFetchedAlone: false,
    wanted() {
      if (ending.signal.aborted || heldBytes() >= deps.heldBytesMax()) return undefined;
      return performance.now() < fetchedNotBeforeMs ? undefined : offset;
    },
    pauseMs: () => (offset === undefined ? 0 : Math.max(0, fetchedNotBeforeMs - performance.now())),
    receive(fetched, fetchOffset) {
      if (offset !== fetchOffset) return; // delivery has begun anew meanwhile
      failures = 0;
      this.isFetchedAlone = false;
      lastSignMs = performance.now();
      if (fetched?.nextOffset === undefined) return;
      if (fetched.nextOffset > offset) offset = fetched.nextOffset;
      if (fetched.records.length === 0) return;
      held.push({ ...fetched, bytes: fetched.records.reduce((sum, one) => sum + recordBytes(one), 0) });
      arrived.resolve();
    },
    fail() {
      fetchedNotBeforeMs = performance.now() + fullJitterMs(++failures, fetchBackoff);
    },
    outOfRange(fetchOffset) {
      if (offset !== fetchOffset) return;
      offset = undefined;
      const round = rounds;
      void untilAnswered(() => deps.offsetAfterReset(fetchOffset)).then((next) => {
        if (round !== rounds) return;
        if (next === undefined) hasNowhereToGo = !ending.signal.aborted;
        else offset = next;
        deps.wake();
      });
    },
    getsOn: (silenceMaxMs) =>
      !hasNowhereToGo && (isWithSink || held.length > 0 || performance.now() - lastSignMs <= silenceMaxMs),
    close: () => ending.abort(),
    lose() {
      isLost = true;
      ending.abort();
    },
    dealtWith: run(),
  };
}
