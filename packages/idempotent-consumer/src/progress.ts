import type { ConsumedRecord } from './record.ts';

/** What is in hand and since when: health goes by progress, a heartbeat is none. */
export interface Progress {
  /** A chunk is being accepted. @returns how to say that it is not any more */
  begin(records: readonly [ConsumedRecord, ...ConsumedRecord[]]): () => void;
  /** Part of it was accepted; or it waits for an operator or the kill switch, which is no lack of progress. */
  goOn(records: readonly [ConsumedRecord, ...ConsumedRecord[]]): void;
  /** Whether every chunk in hand was begun, or one of its partition accepted, within this time. */
  isGettingOn(withinMs: number): boolean;
  /** Chunks in hand: the oldest record of each, and since when it is being accepted. */
  inHand(): readonly { readonly record: ConsumedRecord; readonly sinceMs: number }[];
}

export function createProgress(now: () => number = () => performance.now()): Progress {
  const chunks = new Map<object, { record: ConsumedRecord; sinceMs: number }>();
  return {
    begin(records) {
      chunks.set(records, { record: records[0], sinceMs: now() });
      return () => {
        chunks.delete(records);
      };
    },
    goOn(records) {
      const chunk = chunks.get(records);
      if (chunk !== undefined) chunk.sinceMs = now();
    },
    isGettingOn: (withinMs) => [...chunks.values()].every(({ sinceMs }) => now() - sinceMs <= withinMs),
    inHand: () => [...chunks.values()],
  };
}
