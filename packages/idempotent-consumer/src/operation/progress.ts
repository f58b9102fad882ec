import type { ConsumedRecord } from '../record.ts';

type Records = readonly [ConsumedRecord, ...ConsumedRecord[]];

/** What is in hand and since when: health goes by progress, a heartbeat is none. */
export interface Progress {
  /**
   * A chunk is being accepted, or (`stored`) an event tried again that was accepted long ago.
   * @returns how to say that it is not any more, and whether it was accepted
   */
  begin(records: Records, kind?: 'chunk' | 'stored'): (wasAccepted?: boolean) => void;
  /** Part of it was accepted; or it waits for an operator or the kill switch, which is no lack of progress. */
  goOn(records: Records): void;
  /** Whether every chunk in hand was begun, or one of its partition accepted, within this time. */
  isGettingOn(withinMs: number): boolean;
  /** Chunks in hand: the oldest record of each, and since when it is being accepted. */
  inHand(): readonly { readonly record: ConsumedRecord; readonly sinceMs: number }[];
  /** When the last record of this partition that was accepted was written, milliseconds since 1970; null if unknown. */
  acceptedUpToMs(topic: string, partition: number): number | null;
}

export function createProgress(now: () => number = () => performance.now()): Progress {
  const chunks = new Map<object, { record: ConsumedRecord; sinceMs: number; kind: 'chunk' | 'stored' }>();
  const accepted = new Map<string, number | null>();
  const lane = (topic: string, partition: number) => `${partition}:${topic}`;
  return {
    begin(records, kind = 'stored') {
      const [first] = records;
      const last = records.at(-1) ?? first;
      chunks.set(records, { record: first, sinceMs: now(), kind });
      return (wasAccepted = false) => {
        chunks.delete(records);
        if (wasAccepted) accepted.set(lane(last.topic, last.partition), last.timestampMs);
      };
    },
    goOn(records) {
      const chunk = chunks.get(records);
      if (chunk !== undefined) chunk.sinceMs = now();
    },
    isGettingOn: (withinMs) => [...chunks.values()].every(({ sinceMs }) => now() - sinceMs <= withinMs),
    inHand: () => [...chunks.values()].filter(({ kind }) => kind === 'chunk'),
    acceptedUpToMs: (topic, partition) => accepted.get(lane(topic, partition)) ?? null,
  };
}
