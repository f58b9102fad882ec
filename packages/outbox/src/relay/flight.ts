import type { OutboxRow } from './outbox-rows.ts';

/** Rows of one topic that are published and marked together, in order of bucket and number. */
export interface Flight {
  readonly topic: string;
  readonly rows: readonly OutboxRow[];
  /** Whose rows they are; the rows of one bucket and topic are never spread over two flights. */
  readonly buckets: readonly number[];
}

/**
 * Sorts what was read, but for rows of blocked aggregates, into flights: one topic each, so that a topic that is slow or missing holds up no other, and
 * about `sizeMax` rows, so that one is being marked while others are being published.
 */
export function flightsOf(found: readonly OutboxRow[], sizeMax: number): Flight[] {
  const rows = found.filter((row) => !row.blocked);
  const flights: Flight[] = [];
  for (const ofTopic of Map.groupBy(rows, (row) => row.record.topic).values()) {
    let current: OutboxRow[] = [];
    for (const ofBucket of Map.groupBy(ofTopic, (row) => row.bucket).values()) {
      if (current.length > 0 && current.length + ofBucket.length > sizeMax) {
        flights.push(flightOf(current));
        current = [];
      }
      current.push(...ofBucket);
    }
    flights.push(flightOf(current));
  }
  return flights;
}

function flightOf(rows: OutboxRow[]): Flight {
  const topic = (rows[0] as OutboxRow).record.topic;
  return { topic, rows, buckets: [...new Set(rows.map((row) => row.bucket))] };
}
