import { type ChunkLimits, chunksOf, type Records, recordBytes } from '../chunks.ts';
import type { ConsumedRecord } from '../record.ts';

/** What was fetched of a partition and is not dealt with. */
export interface HeldRecords {
  /** What the next fetch brought; `nextOffset` is where the one after it begins. */
  add(records: readonly ConsumedRecord[], nextOffset: bigint): void;
  /**
   * Takes a chunk, once there is something: all that is there, up to the limits, whichever fetches brought it. So chunks
   * grow with the load, and what an event costs falls. Undefined when the signal aborts.
   */
  take(limits: ChunkLimits): Promise<TakenRecords | undefined>;
  /** What was taken is dealt with. */
  release(): void;
  clear(): void;
  isEmpty(): boolean;
  /** A fetch counts until its last record is dealt with: its records share their memory. */
  bytes(): number;
}

/** A chunk in hand. */
export interface TakenRecords {
  readonly records: Records;
  /** Where the group goes on behind it. Behind its last record there may be control records, which count as lag. */
  nextOffset(): bigint;
}

interface HeldRecord {
  readonly record: ConsumedRecord;
  /** Of its fetch, with the last record of it. */
  fetchEnd?: { nextOffset: bigint; readonly bytes: number };
}

/** @param signal ends the waiting */
export function createHeldRecords(signal: AbortSignal): HeldRecords {
  let waiting: HeldRecord[] = [];
  let last: HeldRecord | undefined;
  let bytes = 0;
  let bytesTaken = 0;
  let arrival = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => arrival.resolve());

  return {
    add(records, nextOffset) {
      if (records.length === 0) {
        if (last?.fetchEnd !== undefined) last.fetchEnd.nextOffset = nextOffset;
        return;
      }
      let fetchBytes = 0;
      for (const record of records) {
        fetchBytes += recordBytes(record);
        last = { record };
        waiting.push(last);
      }
      if (last !== undefined) last.fetchEnd = { nextOffset, bytes: fetchBytes };
      bytes += fetchBytes;
      arrival.resolve();
    },
    async take(limits) {
      while (waiting.length === 0 && !signal.aborted) {
        arrival = Promise.withResolvers();
        await arrival.promise;
      }
      const first = waiting.slice(0, limits.chunkSizeMax).map(({ record }) => record);
      const [records] = chunksOf(first, limits);
      if (records === undefined || signal.aborted) return undefined;
      const taken = waiting.splice(0, records.length);
      for (const { fetchEnd } of taken) bytesTaken += fetchEnd?.bytes ?? 0;
      const end = taken.at(-1);
      const lastOffset = (records.at(-1) ?? records[0]).offset;
      return { records, nextOffset: () => end?.fetchEnd?.nextOffset ?? BigInt(lastOffset) + 1n };
    },
    release() {
      bytes -= bytesTaken;
      bytesTaken = 0;
    },
    clear() {
      waiting = [];
      last = undefined;
      bytes = 0;
      bytesTaken = 0;
    },
    isEmpty: () => waiting.length === 0,
    bytes: () => bytes,
  };
}
