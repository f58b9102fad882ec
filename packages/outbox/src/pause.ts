import { type Connection, orNull, readRow, readRows, secondsOf, text, time } from './answers.ts';
import { type OutboxNames, outboxNames, wakeFor } from './postgres.ts';

/** Since when the relays publish nothing, and why. */
export interface RelayPause {
  readonly since: Date;
  readonly reason: string;
}

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
  const row = await readRow(
    connection,
    pauseColumns,
    `INSERT INTO ${pause} (reason) VALUES ($1) ON CONFLICT (one) DO UPDATE SET one = true
     RETURNING ${columns}, pg_notify($2, $3)`,
    [options.reason ?? '', channel, wakeFor.lease],
  );
  return pauseOf(row) as RelayPause;
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
  const [row] = await readRows(
    connection,
    pauseColumns,
    `DELETE FROM ${pause} RETURNING ${columns}, pg_notify($1, $2)`,
    [channel, wakeFor.lease],
  );
  return pauseOf(row);
}

const columns = `${secondsOf('since')} AS paused_at, reason AS pause_reason`;

/** Of {@link selectPause}; null where an outer join found none. */
export const pauseColumns = { paused_at: orNull(time), pause_reason: orNull(text) };

/** What {@link pauseOf} reads, for a statement that joins it to others: a row, or none. */
export const selectPause = (names: OutboxNames): string => `SELECT ${columns} FROM ${names.pause}`;

/** The pause of a row; null if there is no row, or one of an outer join that found none. */
export function pauseOf(
  row: { readonly paused_at: Date | null; readonly pause_reason: string | null } | undefined,
): RelayPause | null {
  const { paused_at: since, pause_reason: reason } = row ?? {};
  return since && typeof reason === 'string' ? { since, reason } : null;
}
