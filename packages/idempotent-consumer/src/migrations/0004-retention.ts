/**
 * What retention finds its rows by; see docs/decisions. `CREATE INDEX CONCURRENTLY` is not possible in the transaction
 * of a migration: a big table is given these indexes by hand first, under these names, and then nothing is left to do.
 */
const indexes = [
  `CREATE INDEX IF NOT EXISTS processed_events_processed_at ON processed_events (worker_id, processed_at)`,
  `
    CREATE INDEX IF NOT EXISTS dead_letter_events_decided_at ON dead_letter_events (decided_at)
      WHERE decided_at IS NOT NULL`,
];

/** Expand. */
export const createRetentionIndexes: readonly string[] = indexes;
