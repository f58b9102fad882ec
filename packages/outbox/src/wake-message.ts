import { wakeFor } from './postgres.ts';

/** Says that there are events. @param buckets where they are; none: anywhere */
export function eventsIn(buckets: Iterable<number> | undefined): string {
  return [wakeFor.events, ...(buckets ?? [])].join(' ');
}

/** Where there are events; undefined, as for any message that is not understood: anywhere. */
export function bucketsIn(message: string | undefined): number[] | undefined {
  const [name, ...buckets] = message?.split(' ') ?? [];
  const isKnown =
    name === wakeFor.events && buckets.length > 0 && buckets.every((one) => /^\d{1,2}$/.test(one));
  return isKnown ? buckets.map(Number) : undefined;
}
