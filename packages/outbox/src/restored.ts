import { bool, type Connection, integer, readRow, run } from './answers.ts';
import { OutboxError } from './errors.ts';
import { type OutboxNames, outboxNames, type PoolLike } from './postgres.ts';

/** What the rows hold that this server has yet to give out; null if they can be from here. Looks at the newest only. */
export async function foreignIn(
  pool: Connection,
  names: OutboxNames,
): Promise<'transaction ids' | 'numbers' | null> {
  const found = await readRow(
    pool,
    { xid_is_to_come: bool, seq_is_to_come: bool },
    `SELECT coalesce(newest.xid >= pg_snapshot_xmax(pg_current_snapshot()), false) AS xid_is_to_come,
            greatest(coalesce(newest.seq, 0), b.low_seq - 1) > s.last_value AS seq_is_to_come
     FROM ${names.sequence} s
     CROSS JOIN (SELECT max(low_seq) AS low_seq FROM ${names.buckets}) b
     LEFT JOIN (SELECT xid, seq FROM ${names.outbox} ORDER BY seq DESC LIMIT 1) newest ON true`,
  );
  if (found.xid_is_to_come) return 'transaction ids';
  return found.seq_is_to_come ? 'numbers' : null;
}

/**
 * Transaction ids and sequences belong to a server. Tables that were restored from a dump, or copied by logical
 * replication, may hold ids that their new server has yet to reach, or lie ahead of its sequence: new rows would then
 * get numbers that the low-water mark has passed, and wait for ever. A committed row whose transaction id is still to
 * come, or a number that is still to be drawn, cannot be from here.
 * @throws OutboxError `OUTBOX_RESTORED`
 */
export async function refuseRestored(pool: Pick<PoolLike, 'query'>, names: OutboxNames): Promise<void> {
  const what = await foreignIn(pool, names);
  if (what === null) return;
  throw new OutboxError(
    'OUTBOX_RESTORED',
    `the outbox holds ${what} that this server has yet to give out, so it was restored or copied from another one; if that one's relays are stopped, call adoptRestoredOutbox once`,
  );
}

/**
 * Makes a restored outbox this server's own: no bucket has an owner, every unpublished row is looked at again, and new
 * rows get numbers behind those that are there. Call it once, with no relay and no writer running here, and with the
 * relays of the old server stopped, or both publish. What was published after the dump was taken is published again.
 * Reads the whole table, for as long as that takes, and keeps writers out meanwhile.
 * @returns how many unpublished events there are
 */
export async function adoptRestoredOutbox(
  pool: Pick<PoolLike, 'connect'>,
  options: { readonly schema?: string } = {},
): Promise<number> {
  const names = outboxNames(options.schema);
  const client = await pool.connect();
  try {
    await run(client, 'BEGIN');
    await run(client, 'SET LOCAL statement_timeout = 0');
    await run(client, `LOCK TABLE ${names.buckets}, ${names.outbox} IN SHARE ROW EXCLUSIVE MODE`);
    await run(client, `DELETE FROM ${names.relays}`);
    await run(
      client,
      `SELECT setval($1::text::regclass, greatest((SELECT last_value FROM ${names.sequence}),
                                            (SELECT max(seq) FROM ${names.outbox}),
                                            (SELECT max(low_seq) FROM ${names.buckets})))`,
      [names.sequence],
    );
    await run(client, `UPDATE ${names.buckets} SET owner = NULL, epoch = epoch + 1, low_seq = 0`);
    await run(
      client,
      `UPDATE ${names.outbox} SET xid = pg_current_xact_id() WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())`,
    );
    const { n } = await readRow(
      client,
      { n: integer },
      `SELECT count(*)::int AS n FROM ${names.outbox} WHERE published_at IS NULL`,
    );
    await run(client, 'COMMIT');
    client.release();
    return n;
  } catch (thrown) {
    client.release(true);
    throw thrown;
  }
}
