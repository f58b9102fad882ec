import type { ConsumedRecord } from './record.ts';

type Records = readonly [ConsumedRecord, ...ConsumedRecord[]];

/** What is in hand and since when: health goes by progress, a heartbeat is none. */
export interface Progress {
  /** A chunk is being accepted. @returns how to say that it is not any more, and whether it was accepted */
  begin(records: Records): (wasAccepted: boolean) => void;
  /** Waiting for an operator, or for the kill switch, is no lack of progress. */
  wait(records: Records): void;
  /** Whether every chunk in hand was begun, or one of its partition accepted, within this time. */
  isGettingOn(withinMs: number): boolean;
  /** Chunks in hand: the oldest record of each, and since when it is being accepted. */
  inHand(): readonly { readonly record: ConsumedRecord; readonly sinceMs: number }[];
  /** When the last record of this partition that was accepted was written, milliseconds since 1970; null if unknown. */
  acceptedUpToMs(topic: string, partition: number): number | null;
}

export function createProgress(now: () => number = () => performance.now()): Progress {
  const chunks = new Map<object, { record: ConsumedRecord; sinceMs: number }>();
  const accepted = new Map<string, number | null>();
  const lane = (topic: string, partition: number) => `${partition}:${topic}`;
  return {
    begin(records) {
      const [first] = records;
      const last = records.at(-1) ?? first;
      chunks.set(records, { record: first, sinceMs: now() });
      return (wasAccepted) => {
        chunks.delete(records);
        if (wasAccepted) accepted.set(lane(last.topic, last.partition), last.timestampMs);
      };
    },
    wait(records) {
      const chunk = chunks.get(records);
      if (chunk !== undefined) chunk.sinceMs = now();
    },
    isGettingOn: (withinMs) => [...chunks.values()].every(({ sinceMs }) => now() - sinceMs <= withinMs),
    inHand: () => [...chunks.values()],
    acceptedUpToMs: (topic, partition) => accepted.get(lane(topic, partition)) ?? null,
  };
}
