import { integer, orNull, readRow, readRows, real, text } from '../answers.ts';
import type { OutboxNames, PoolLike } from '../postgres.ts';
import { partitionName, type TimeRange } from './partition-ranges.ts';
import { briefly, runScript, type ScriptResult, together } from './partition-script.ts';
import { attach, createLike, literalOf, type PartitionView, tableOf } from './partition-store.ts';

/** Rows that move in one go, at most: they do in a few milliseconds, and everybody waits for it. */
export const movedRowsMax = 1_000;

/** What is in the default partition, counted no further than to {@link movedRowsMax} + 1. */
export interface DefaultContent {
  readonly rows: number;
  readonly unpublished: number;
  /** When they were written, milliseconds since 1970; of those that a partition can be made for. */
  readonly writtenAtMs: readonly number[];
}

export interface RetiredTable {
  readonly table: string;
  readonly retiredAtMs: number;
}

/**
 * The statements about the default partition. It takes what no other partition takes: rows that were written when no
 * relay had been running for days.
 */
export function createDefaultPartition(pool: PoolLike, names: OutboxNames, lockTimeoutMs: number) {
  async function look({ defaultTable }: PartitionView): Promise<DefaultContent> {
    if (defaultTable === undefined) return { rows: 0, unpublished: 0, writtenAtMs: [] };
    const rows = await readRows(
      pool,
      { at_ms: orNull(real) },
      `SELECT CASE WHEN created_at >= '1970-01-01' AND created_at < '9999-01-01'
                   THEN (extract(epoch FROM created_at) * 1000)::float8 END AS at_ms
       FROM ${defaultTable} LIMIT $1`,
      [movedRowsMax + 1],
    );
    const { n: unpublished } = await readRow(
      pool,
      { n: integer },
      `SELECT count(*)::int AS n
       FROM (SELECT FROM ${defaultTable} WHERE published_at IS NULL LIMIT $1) unpublished`,
      [movedRowsMax + 1],
    );
    return {
      rows: rows.length,
      unpublished,
      writtenAtMs: rows.flatMap(({ at_ms }) => (at_ms === null ? [] : [at_ms])),
    };
  }

  /**
   * Takes a default partition out of the table that has become too large to be looked through while others wait, as
   * PostgreSQL does whenever a partition is attached. An empty one takes its place, and what is not published comes
   * back into the table, in the same instant. The rest is dropped when the retention is over.
   * @param ranges are made at once, so that they do not begin in the new default partition
   */
  function retire(view: PartitionView, table: string, ranges: readonly TimeRange[]): Promise<ScriptResult> {
    const settings = { owner: view.owner, lockTimeoutMs };
    const at = new Date(view.nowMs).toISOString().replaceAll(/\D/g, '').slice(0, 14);
    const [successor, retired] = [
      tableOf(view, `outbox_default_${at}`),
      tableOf(view, `outbox_retired_${at}`),
    ];
    const partitions = ranges.map((range) => ({ range, table: tableOf(view, partitionName(range)) }));
    return runScript(pool, settings, [
      createLike(successor, names),
      ...partitions.map((partition) => createLike(partition.table, names)),
      briefly(settings),
      together([
        `LOCK TABLE ONLY ${names.outbox} IN ACCESS EXCLUSIVE MODE`,
        `ALTER TABLE ${names.outbox} DETACH PARTITION ${table}`,
        `ALTER TABLE ${table} RENAME TO outbox_retired_${at}`,
        `ALTER TABLE ${names.outbox} ATTACH PARTITION ${successor} DEFAULT`,
        ...partitions.map((partition) => attach(partition.table, partition.range, names)),
        `WITH back AS (DELETE FROM ${retired} WHERE published_at IS NULL RETURNING *)
         INSERT INTO ${names.outbox} SELECT * FROM back`,
        `INSERT INTO ${names.retired} (table_name) VALUES (${literalOf(retired)})`,
      ]),
    ]);
  }

  async function retiredTables(): Promise<RetiredTable[]> {
    const rows = await readRows(
      pool,
      { table_name: text, at_ms: real },
      `SELECT table_name, (extract(epoch FROM retired_at) * 1000)::float8 AS at_ms FROM ${names.retired}
       WHERE to_regclass(table_name) IS NOT NULL ORDER BY retired_at`,
    );
    return rows.map((row) => ({ table: row.table_name, retiredAtMs: row.at_ms }));
  }

  return { look, retire, retiredTables };
}
