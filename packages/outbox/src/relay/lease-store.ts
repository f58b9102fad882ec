import { countRows, integer, orNull, readRows, run, text } from '../answers.ts';
import { pauseColumns, pauseOf, type RelayPause, selectPause } from '../pause.ts';
import { type OutboxNames, type PoolLike, wakeFor } from '../postgres.ts';

/** Who owns what, as the database says. */
export interface LeaseView {
  readonly relayIds: readonly string[];
  /** Buckets of the asking relay, with their epochs. */
  readonly owned: ReadonlyMap<number, number>;
  readonly pause: RelayPause | null;
}

/** The statements about leases; all times are the database's. Each is a transaction of its own. */
export function createLeaseStore(pool: PoolLike, names: OutboxNames) {
  return {
    /** May be repeated: the answer to an earlier try may have been lost behind its commit. */
    async register(relayId: string, leaseDurationMs: number): Promise<void> {
      await run(
        pool,
        `INSERT INTO ${names.relays} (id, heartbeat_at, lease_until)
         VALUES ($1, clock_timestamp(), clock_timestamp() + make_interval(secs => $2::float8 / 1000))
         ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, lease_until = excluded.lease_until`,
        [relayId, leaseDurationMs],
      );
    },

    /** @returns false if the relay was taken for dead, and with that has lost its buckets */
    async heartbeat(relayId: string, leaseDurationMs: number): Promise<boolean> {
      const renewed = await countRows(
        pool,
        `UPDATE ${names.relays}
         SET heartbeat_at = clock_timestamp(),
             lease_until = clock_timestamp() + make_interval(secs => $2::float8 / 1000)
         WHERE id = $1`,
        [relayId, leaseDurationMs],
      );
      return renewed === 1;
    },

    /**
     * Deletes relays whose lease has run out, which frees their buckets. A heartbeat that is quicker wins: the row
     * is looked at again under its lock.
     */
    async removeDead(): Promise<string[]> {
      const sql = `DELETE FROM ${names.relays} WHERE lease_until < clock_timestamp() RETURNING id`;
      return (await readRows(pool, { id: text }, sql)).map(({ id }) => id);
    },

    async view(relayId: string): Promise<LeaseView> {
      const rows = await readRows(
        pool,
        { id: text, bucket: orNull(integer), epoch: orNull(integer), ...pauseColumns },
        `SELECT r.id, b.bucket, b.epoch, p.* FROM ${names.relays} r
         LEFT JOIN ${names.buckets} b ON b.owner = r.id AND r.id = $1
         LEFT JOIN (${selectPause(names)}) p ON true`,
        [relayId],
      );
      const owned = new Map<number, number>();
      for (const { bucket, epoch } of rows) if (bucket !== null && epoch !== null) owned.set(bucket, epoch);
      return {
        relayIds: [...new Set(rows.map(({ id }) => id))],
        owned,
        pause: pauseOf(rows[0]),
      };
    },

    /** Takes free buckets, at most `count`, under a new epoch each. */
    async acquire(relayId: string, count: number): Promise<Map<number, number>> {
      const rows = await readRows(
        pool,
        { bucket: integer, epoch: integer },
        `UPDATE ${names.buckets} SET owner = $1, epoch = epoch + 1
         WHERE bucket IN (SELECT bucket FROM ${names.buckets} WHERE owner IS NULL
                          ORDER BY bucket LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING bucket, epoch`,
        [relayId, count],
      );
      return new Map(rows.map(({ bucket, epoch }) => [bucket, epoch]));
    },

    async release(relayId: string, buckets: readonly number[]): Promise<void> {
      await run(
        pool,
        `UPDATE ${names.buckets} SET owner = NULL WHERE owner = $1 AND bucket = ANY ($2::smallint[])`,
        [relayId, buckets],
      );
    },

    async deregister(relayId: string): Promise<void> {
      await run(pool, `DELETE FROM ${names.relays} WHERE id = $1`, [relayId]);
    },

    /** Tells the other relays to look at the leases now rather than at their next heartbeat. */
    async announce(): Promise<void> {
      await run(pool, 'SELECT pg_notify($1, $2)', [names.channel, wakeFor.lease]);
    },
  };
}

export type LeaseStore = ReturnType<typeof createLeaseStore>;
