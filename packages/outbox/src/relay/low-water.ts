import { bool, digits, readRow, run } from '../answers.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';

/** Waits, in one place, for the writers that could still commit a number up to `seq`. Both are numbers as text. */
interface Advance {
  readonly seq: string;
  /** Transactions with a lower id are waited for. */
  readonly xid: string;
}

/** First wait for writers; doubles up to the interval. */
const writersWaitMinMs = 10;

/**
 * Moves `low_seq` of this relay's buckets behind rows that are published. Such rows leave entries in the index that
 * live as long as the oldest snapshot, and every poll would wade through them.
 *
 * Passing a row that is still to be committed would lose it, so the order of the statements counts; each is a
 * transaction of its own. A writer owns its transaction id before it draws a number (see the table), hence whoever has
 * drawn a number up to `seq` has a lower id than one that is taken afterwards. Once all of those have ended, a new
 * snapshot shows every row up to `seq` that will ever be.
 */
export function createLowWaterMark(pool: PoolLike, names: OutboxNames, relayId: string, intervalMs: number) {
  let advance: Advance | undefined;
  let waitMs = writersWaitMinMs;

  /** @returns undefined if every bucket is as far as it can be */
  async function begin(): Promise<Advance | undefined> {
    const { seq, behind } = await readRow(
      pool,
      { seq: digits, behind: bool },
      `SELECT s.last_value::text AS seq,
              s.is_called AND EXISTS (SELECT FROM ${names.buckets} WHERE owner = $1 AND low_seq <= s.last_value) AS behind
       FROM ${names.sequence} s`,
      [relayId],
    );
    if (!behind) return undefined;
    // Never an end of a snapshot (pg_snapshot_xmax): that is the latest completed id + 1, and a writer may be running under it.
    const { xid } = await readRow(pool, { xid: digits }, 'SELECT pg_current_xact_id()::text AS xid');
    return { seq, xid };
  }

  async function writersHaveEnded({ xid }: Advance): Promise<boolean> {
    const sql = 'SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8 AS ended';
    return (await readRow(pool, { ended: bool }, sql, [xid])).ended;
  }

  /** To the first row of each bucket's hot read, else behind `seq`; only of buckets that are still owned. */
  async function finish({ seq }: Advance): Promise<void> {
    await run(pool, `SELECT ${names.advanceLowWater}($1, $2::bigint)`, [relayId, seq]);
  }

  /**
   * Begins an advance, or goes on with the one that waits. An open writing transaction delays it, and nothing else.
   * @returns how long to wait for the next step, milliseconds
   */
  async function step(): Promise<number> {
    advance ??= await begin();
    if (advance === undefined) return intervalMs;
    if (!(await writersHaveEnded(advance))) {
      waitMs = Math.min(waitMs * 2, intervalMs);
      return waitMs;
    }
    await finish(advance);
    advance = undefined;
    waitMs = writersWaitMinMs;
    return intervalMs;
  }

  return { step };
}
