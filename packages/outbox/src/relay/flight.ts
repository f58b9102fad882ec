import type { OutboxRow } from './outbox-rows.ts';

/** Rows of one topic that are published and marked together, in order of bucket and number. */
export interface Flight {
  readonly topic: string;
  readonly rows: readonly OutboxRow[];
  /** Whose rows they are; the rows of one bucket and topic are never spread over two flights. */
  readonly buckets: readonly number[];
}

/** Why rows of a bucket were not all acknowledged; what was `not sent` says nothing about the topic. */
export type NotAcknowledged = Error | 'not sent';

/**
 * Sorts what was read, in order of bucket, but for rows of blocked aggregates, into flights: one topic each, so that a topic
 * that is slow or missing holds up no other, and about `sizeMax` rows, so that one is being marked while others are
 * being published.
 */
export function flightsOf(found: readonly OutboxRow[], sizeMax: number): Flight[] {
  const flights: { topic: string; rows: OutboxRow[]; buckets: number[] }[] = [];
  const latest = new Map<string, (typeof flights)[number]>();
  for (const row of found) {
    if (row.blocked) continue;
    const { topic } = row.record;
    let flight = latest.get(topic);
    const begins = flight?.buckets.at(-1) !== row.bucket;
    if (flight === undefined || (begins && flight.rows.length >= sizeMax)) {
      flight = { topic, rows: [], buckets: [] };
      latest.set(topic, flight);
      flights.push(flight);
    }
    if (flight.buckets.at(-1) !== row.bucket) flight.buckets.push(row.bucket);
    flight.rows.push(row);
  }
  return flights;
}
