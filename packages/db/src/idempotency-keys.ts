import { type Kysely, sql } from 'kysely';
import type { Database } from './tables.ts';
import { inTransaction } from './transaction.ts';

/**
 * Deletes idempotency keys whose lifetime is over, the oldest first, at most `countMax` in one transaction.
 * @returns how many they were, or `busy` while another process does it, which then sees to all of them
 */
export async function deleteExpiredIdempotencyKeys(
  db: Kysely<Database>,
  countMax: number,
): Promise<number | 'busy'> {
  return inTransaction(db, async (tx) => {
    const lock = await sql<{ mine: boolean }>`
      SELECT pg_try_advisory_xact_lock(hashtextextended('orders.idempotency_keys', 0)) AS mine`.execute(tx);
    if (lock.rows[0]?.mine !== true) return 'busy';
    const { numAffectedRows } = await sql`
      DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT ${countMax}))`.execute(tx);
    return Number(numAffectedRows ?? 0);
  });
}
