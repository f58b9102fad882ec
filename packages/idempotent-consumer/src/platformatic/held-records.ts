import { type ChunkLimits, chunksOf, type Records, recordBytes } from '../chunks.ts';
import { detached } from '../detached.ts';
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
  record: ConsumedRecord;
  /** Of its fetch, with the last record of it. */
  fetchEnd?: { nextOffset: bigint; readonly bytes: number };
}

/** Fetches whose records wait in the memory that they came in. The client cuts them out of what its socket has read. */
const fetchesUncopied = 4;

/** @param signal ends the waiting */
export function createHeldRecords(signal: AbortSignal): HeldRecords {
  let waiting: HeldRecord[] = [];
  let uncopied: (readonly HeldRecord[])[] = [];
  let last: HeldRecord | undefined;
  let bytes = 0;
  let bytesTaken = 0;
  let arrival = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => arrival.resolve());

  /** A partition that stands still would else keep what the others were sent beside its records. */
  function copyOldest(): void {
    const oldest = uncopied.shift() ?? [];
    const fetchBytes = oldest.at(-1)?.fetchEnd?.bytes ?? 0;
    for (const one of oldest) one.record = detached(one.record, 2 * fetchBytes);
  }

  return {
    add(records, nextOffset) {
      if (records.length === 0) {
        if (last?.fetchEnd !== undefined) last.fetchEnd.nextOffset = nextOffset;
        return;
      }
      const fetched = records.map((record): HeldRecord => ({ record }));
      const fetchBytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
      last = fetched.at(-1) as HeldRecord;
      last.fetchEnd = { nextOffset, bytes: fetchBytes };
      for (const one of fetched) waiting.push(one);
      bytes += fetchBytes;
      uncopied.push(fetched);
      if (uncopied.length > fetchesUncopied) copyOldest();
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
      for (const one of taken) {
        bytesTaken += one.fetchEnd?.bytes ?? 0;
        if (uncopied[0]?.at(-1) === one) uncopied.shift();
      }
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
      uncopied = [];
      last = undefined;
      bytes = 0;
      bytesTaken = 0;
    },
    isEmpty: () => waiting.length === 0,
    bytes: () => bytes,
  };
}
