import { recordBytes } from '../chunks.ts';
import type { FetchedRecords } from './records.ts';

/** What was fetched of a partition and is not dealt with. */
export interface HeldRecords {
  add(fetched: FetchedRecords): void;
  /** What was fetched first, once there is something; undefined when the signal aborts. */
  first(): Promise<FetchedRecords | undefined>;
  /** The first is dealt with. */
  drop(): void;
  clear(): void;
  isEmpty(): boolean;
  bytes(): number;
}

/** @param signal ends the waiting */
export function createHeldRecords(signal: AbortSignal): HeldRecords {
  let all: { readonly fetched: FetchedRecords; readonly bytes: number }[] = [];
  let arrival = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => arrival.resolve());

  return {
    add(fetched) {
      all.push({ fetched, bytes: fetched.records.reduce((sum, record) => sum + recordBytes(record), 0) });
      arrival.resolve();
    },
    async first() {
      while (all.length === 0 && !signal.aborted) {
        arrival = Promise.withResolvers();
        await arrival.promise;
      }
      return signal.aborted ? undefined : all[0]?.fetched;
    },
    drop: () => void all.shift(),
    clear() {
      all = [];
    },
    isEmpty: () => all.length === 0,
    bytes: () => all.reduce((sum, one) => sum + one.bytes, 0),
  };
}
