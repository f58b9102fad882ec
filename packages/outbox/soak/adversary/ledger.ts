import type { PoolLike } from '../../src/index.ts';

/**
 * What a run knows of the truth: a counter of each aggregate, the events that writers committed with their counters,
 * and the takeovers, which a trigger records whatever the relays say about themselves.
 */
export async function createLedger(pool: PoolLike, aggregates: readonly string[]): Promise<void> {
  await pool.query(`CREATE TABLE run_aggregates (id text PRIMARY KEY, n integer NOT NULL DEFAULT 0)`);
  await pool.query(`INSERT INTO run_aggregates (id) SELECT unnest($1::text[])`, [aggregates]);
  await pool.query(`
    CREATE TABLE run_written (aggregate text, n integer, event_id uuid NOT NULL, PRIMARY KEY (aggregate, n))`);
  await pool.query(`CREATE TABLE run_takeovers (relay text, buckets integer[], at timestamptz)`);
  await pool.query(`
    CREATE FUNCTION run_record_takeover() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO run_takeovers
      SELECT OLD.id, array_agg(bucket), clock_timestamp() FROM outbox_buckets WHERE owner = OLD.id
      HAVING count(*) > 0 AND OLD.lease_until < clock_timestamp();
      RETURN OLD;
    END $$`);
  await pool.query(`
    CREATE TRIGGER run_record_takeover BEFORE DELETE ON outbox_relays
    FOR EACH ROW EXECUTE FUNCTION run_record_takeover()`);
}

/** The committed events of each aggregate, in the order of its counter. */
export async function writtenEvents(pool: PoolLike): Promise<Map<string, string[]>> {
  const { rows } = await pool.query(
    `SELECT aggregate, n, event_id FROM run_written ORDER BY aggregate, run_written.n`,
  );
  const written = new Map<string, string[]>();
  for (const { aggregate, n, event_id } of rows) {
    const ids = written.get(String(aggregate)) ?? [];
    // A gap would mean that the ledger, the judge of all else, is wrong itself.
    if (ids.push(String(event_id)) !== Number(n)) throw new Error(`the ledger has a gap: ${aggregate} ${n}`);
    written.set(String(aggregate), ids);
  }
  return written;
}

/** Buckets that were freed because the lease of their relay had run out. */
export interface Takeover {
  readonly relay: string;
  readonly buckets: readonly number[];
  /** Milliseconds since 1970, the database's clock. */
  readonly atMs: number;
}

export async function takeovers(pool: PoolLike): Promise<Takeover[]> {
  const { rows } = await pool.query(
    `SELECT relay, buckets, extract(epoch FROM at)::float8 * 1000 AS at_ms FROM run_takeovers ORDER BY at`,
  );
  return rows.map((row) => ({
    relay: String(row.relay),
    buckets: row.buckets as number[],
    atMs: Number(row.at_ms),
  }));
}
