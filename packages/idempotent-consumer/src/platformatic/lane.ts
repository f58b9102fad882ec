import { setTimeout as sleep } from 'node:timers/promises';
import { fullJitterMs } from '../backoff.ts';
import type { ChunkLimits } from '../chunks.ts';
import type { RecordSink } from '../source.ts';
import { createHeldRecords, type HeldRecords } from './held-records.ts';
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
  heldBytes(): number;
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
  const ending = new AbortController();
  const { signal } = ending;
  const held = createHeldRecords(signal);
  let isLost = false;
  let offset: bigint | undefined;
  let failures = 0;
  let fetchedNotBeforeMs = 0;
  let isWithSink = true; // until the chunk of an earlier lane is dealt with
  let hasNowhereToGo = false;
  let round = 0;
  let lastSignMs = performance.now();
  const ask = <T>(question: () => Promise<T>) => untilAnswered(question, place, deps.sink, signal);
  const { commit, settled } = inTurn((next: bigint) => deps.commit(next, () => !isLost && deps.isCurrent()));

  async function run(): Promise<void> {
    await deps.before;
    for (let fruitless = 0; !signal.aborted; fruitless++) {
      round++;
      if (fruitless > 0) await pauseUnlessEnded(fullJitterMs(fruitless, redeliveryBackoff), signal);
      isWithSink = false;
      lastSignMs = performance.now();
      offset = await ask(deps.startOffset);
      deps.wake();
      const hasAccepted = await deliver({
        ...deps,
        held,
        commit,
        signal,
        onWithSink: (is) => (isWithSink = is),
      });
      isWithSink = true; // a chunk that was abandoned waits a little
      offset = undefined;
      held.clear();
      if (hasAccepted) fruitless = 0;
    }
  }

  async function reset(from: bigint): Promise<void> {
    const [resetRound, next] = [round, await ask(() => deps.offsetAfterReset(from))];
    if (resetRound !== round || signal.aborted) return;
    offset = next;
    hasNowhereToGo = next === undefined;
    deps.wake();
  }

  return {
    ...place,
    isFetchedAlone: false,
    wanted() {
      if (signal.aborted || held.bytes() >= deps.heldBytesMax()) return undefined;
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
      held.add(fetched.records, fetched.nextOffset);
    },
    fail() {
      fetchedNotBeforeMs = performance.now() + fullJitterMs(++failures, fetchBackoff);
    },
    outOfRange(fetchOffset) {
      if (offset !== fetchOffset) return;
      offset = undefined;
      void reset(fetchOffset);
    },
    heldBytes: held.bytes,
    getsOn: (silenceMaxMs) =>
      !hasNowhereToGo && (isWithSink || !held.isEmpty() || performance.now() - lastSignMs <= silenceMaxMs),
    close: () => ending.abort(),
    lose() {
      isLost = true;
      ending.abort();
    },
    dealtWith: run().then(settled),
  };
}

interface Delivery extends Pick<LaneDeps, 'sink' | 'limits' | 'isCurrent' | 'wake'> {
  readonly held: HeldRecords;
  readonly commit: (offset: bigint) => Promise<boolean>;
  readonly signal: AbortSignal;
  readonly onWithSink: (isWithSink: boolean) => void;
}

/** Delivers until a chunk is abandoned or the lane ends; says whether anything was accepted. */
async function deliver(o: Delivery): Promise<boolean> {
  let hasAccepted = false;
  for (;;) {
    o.onWithSink(false);
    const chunk = await o.held.take(o.limits);
    if (chunk === undefined || !o.isCurrent()) return hasAccepted;
    o.onWithSink(true);
    const { records } = chunk;
    const chunkEnd = (records.at(-1) ?? records[0]).offset;
    const commitOffsets = (upTo = chunkEnd): Promise<boolean> =>
      o.commit(upTo === chunkEnd ? chunk.nextOffset() : BigInt(upTo) + 1n);
    try {
      const outcome = await o.sink.onChunk({ records, signal: o.signal, commitOffsets });
      if (outcome === 'abandoned') return hasAccepted;
    } catch (error) {
      const { topic, partition } = records[0];
      o.sink.logger.warn({ topic, partition, err: error }, 'a chunk failed, its records come again');
      return hasAccepted;
    }
    hasAccepted = true;
    o.held.release();
    o.wake();
  }
}

/**
 * One after the other, so that no commit overtakes a later one. They are to be settled before the client is closed:
 * what it commits meanwhile may be lost, and all of it would come again.
 */
function inTurn(commitAt: (offset: bigint) => Promise<boolean>) {
  let last: Promise<unknown> = Promise.resolve();
  const commit = (offset: bigint): Promise<boolean> => {
    const committed = last.then(() => commitAt(offset));
    last = committed.catch(() => undefined);
    return committed;
  };
  return { commit, settled: async (): Promise<void> => void (await last) };
}

/** Asks the broker until it answers; undefined when the lane ends before. */
async function untilAnswered<T>(
  question: () => Promise<T>,
  place: Place,
  { logger }: RecordSink,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      return await question();
    } catch (error) {
      if (signal.aborted) break;
      const delayMs = fullJitterMs(attempt, fetchBackoff);
      logger.warn({ ...place, delayMs, err: error }, 'the broker tells no offset, asking again');
      await pauseUnlessEnded(delayMs, signal);
    }
  }
  return undefined;
}

const pauseUnlessEnded = (ms: number, signal: AbortSignal): Promise<unknown> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
