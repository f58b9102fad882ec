import { inTransactionSql, type OutboxTransaction, runOnlyInTransaction } from './transaction.ts';

/** Keeps our locks apart from other users of advisory locks. */
const lockSeed = 0x6f75_7462; // "outb"

/**
 * Waits until no other transaction holds the lock of this key, and holds it until this one ends. For writers of one
 * aggregate that nothing else makes wait for each other: take it with the ordering key before reading or writing the
 * aggregate, and their events have an order. Several keys: take them in sorted order, or two transactions may wait for
 * each other. It is an advisory lock on a 64-bit hash, so two keys may, very seldom, share one.
 * @throws OutboxError `OUTBOX_NOT_IN_TRANSACTION`
 */
export async function lockKey(tx: OutboxTransaction, key: string): Promise<void> {
  await runOnlyInTransaction(
    tx,
    `SELECT pg_advisory_xact_lock(hashtextextended($1, ${lockSeed})) WHERE ${inTransactionSql}`,
    [key],
  );
}
