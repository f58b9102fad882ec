import { type OutboxNames, outboxNames, type PoolLike, wakeFor } from './postgres.ts';

/** Since when the relays publish nothing, and why. */
export interface RelayPause {
  readonly since: Date;
  readonly reason: string;
}

/** A pool, or a connection, be it inside a transaction or not. */
type Connection = Pick<PoolLike, 'query'>;

/**
 * Has all relays publish nothing until {@link resumeRelays}, those too that are started meanwhile. Each begins no batch
 * from when it learns of it: at once if it listens, at its next heartbeat otherwise. What is being published then is
 * finished and marked. Leases go on, so nothing changes hands. One statement.
 * @returns the pause that now is; an earlier one stands, with its reason
 */
export async function pauseRelays(
  connection: Connection,
  options: { readonly reason?: string; readonly schema?: string } = {},
): Promise<RelayPause> {
  const { pause, channel } = outboxNames(options.schema);
  // The notification is delivered when the transaction commits.
  const { rows } = await connection.query(
    `INSERT INTO ${pause} (reason) VALUES ($1) ON CONFLICT (one) DO UPDATE SET one = true
     RETURNING ${columns}, pg_notify($2, $3)`,
    [options.reason ?? '', channel, wakeFor.lease],
  );
  return pauseOf(rows[0]) as RelayPause;
}

/**
 * Ends the pause of {@link pauseRelays}. One statement.
 * @returns the pause that was; null if there was none
 */
export async function resumeRelays(
  connection: Connection,
  options: { readonly schema?: string } = {},
): Promise<RelayPause | null> {
  const { pause, channel } = outboxNames(options.schema);
  const { rows } = await connection.query(`DELETE FROM ${pause} RETURNING ${columns}, pg_notify($1, $2)`, [
    channel,
    wakeFor.lease,
  ]);
  return pauseOf(rows[0]);
}

const columns = 'extract(epoch FROM since)::float8 AS paused_at_s, reason AS pause_reason';

/** What {@link pauseOf} reads, for a statement that joins it to others: a row, or none. */
export const selectPause = (names: OutboxNames): string => `SELECT ${columns} FROM ${names.pause}`;

/** The pause of a row; null if there is no row, or one of an outer join that found none. */
export function pauseOf(row: Record<string, unknown> | undefined): RelayPause | null {
  if (row === undefined || row.paused_at_s === null) return null;
  return { since: new Date(Number(row.paused_at_s) * 1000), reason: String(row.pause_reason) };
}
