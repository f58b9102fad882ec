import { bool, countRows, orNull, type RowOf, readRow, readRows, real, text } from '../answers.ts';
import { partitionStorage } from '../migrations/0004-retention.ts';
import { type OutboxNames, type PoolLike, quoteIdentifier } from '../postgres.ts';
import { partitionName, type TimeRange } from './partition-ranges.ts';
import {
  briefly,
  keepCode,
  resultOf,
  runScript,
  type ScriptResult,
  type ScriptSettings,
  together,
} from './partition-script.ts';

/** A partition with a range; names are as they stand in SQL. Bounds that are not times count as infinite. */
export interface Partition extends TimeRange {
  readonly table: string;
}

/** The table's partitions at this moment. */
export interface PartitionView {
  /** The database's clock. */
  readonly nowMs: number;
  readonly schema: string;
  /** Owner of the table, unless that is who is connected. */
  readonly owner: string | undefined;
  /** Why who is connected may not change the partitions; null if he may. */
  readonly forbidden: string | null;
  readonly partitions: readonly Partition[];
  readonly defaultTable: string | undefined;
}

/** The statements about partitions. */
export function createPartitionStore(pool: PoolLike, names: OutboxNames, lockTimeoutMs: number) {
  /** @returns whether the round of this interval is this relay's */
  async function claim(relayId: string, intervalMs: number): Promise<boolean> {
    const claimed = await countRows(
      pool,
      `UPDATE ${names.maintenance}
       SET relay = $1, next_at = clock_timestamp() + make_interval(secs => $2::float8 / 1000)
       WHERE next_at <= clock_timestamp()`,
      [relayId, intervalMs],
    );
    return claimed === 1;
  }

  async function look(): Promise<PartitionView> {
    const rows = await readRows(
      pool,
      viewColumns,
      `SELECT quote_ident(n.nspname) AS schema, quote_ident(pg_get_userbyid(c.relowner)) AS owner,
              pg_get_userbyid(c.relowner) = current_user AS is_owner,
              CASE WHEN NOT pg_has_role(c.relowner, 'MEMBER')
                     THEN format('%I owns the table, %I is not a member of it', pg_get_userbyid(c.relowner), current_user)
                   WHEN NOT has_schema_privilege(c.relowner, n.oid, 'CREATE')
                     THEN format('%I may not create tables in schema %I', pg_get_userbyid(c.relowner), n.nspname)
              END AS forbidden,
              p.partition, p.is_default, ${msOf('p.lower_bound')} AS from_ms, ${msOf('p.upper_bound')} AS to_ms,
              ${msOf('clock_timestamp()')} AS now_ms
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN ${names.partitions}() p ON true
       WHERE c.oid = $1::text::regclass`,
      [names.outbox],
    );
    return viewOf(rows);
  }

  const scriptSettings = ({ owner }: PartitionView): ScriptSettings => ({ owner, lockTimeoutMs });

  /**
   * Makes a partition and attaches it, which lets writers go on; only who looks into the default partition waits.
   *
   * If rows of its range may be in the default partition, they move into it. For that everybody has to stay out of the
   * table: who had begun to read it before would look for them in the partitions of before, and not find them.
   */
  function create(view: PartitionView, range: TimeRange, o: { move: boolean }): Promise<ScriptResult> {
    const settings = scriptSettings(view);
    const table = tableOf(view, partitionName(range));
    return runScript(pool, settings, [
      createLike(table, names),
      briefly(settings),
      together([
        ...(o.move && view.defaultTable !== undefined
          ? [
              `LOCK TABLE ONLY ${names.outbox} IN ACCESS EXCLUSIVE MODE`,
              `WITH moved AS (DELETE FROM ONLY ${view.defaultTable} WHERE ${isIn(range)} RETURNING *)
               INSERT INTO ${table} SELECT * FROM moved`,
            ]
          : []),
        attach(table, range, names),
      ]),
    ]);
  }

  /** Why rows must stay, as an SQL expression; null if their table may go. It costs a look into three indexes. */
  const whyKept = (table: string): string =>
    `CASE WHEN EXISTS (SELECT FROM (SELECT FROM ${table} WHERE published_at IS NULL AND held_at IS NULL
                                    ORDER BY bucket, seq LIMIT 1) first) THEN 'has unpublished rows'
          WHEN EXISTS (SELECT FROM (SELECT FROM ${table} WHERE published_at IS NULL AND held_at IS NOT NULL
                                    ORDER BY bucket, aggregatetype, aggregateid, seq LIMIT 1) first) THEN 'has held rows'
          WHEN (SELECT max(seq) FROM ${table}) >= (SELECT min(low_seq) FROM ${names.buckets})
            THEN 'has rows that the low-water mark has not passed' END`;

  /** @returns whether a partition must stay, for all that one can say without its lock */
  async function lookInto(table: string): Promise<ScriptResult> {
    try {
      const { reason } = await readRow(pool, { reason: orNull(text) }, `SELECT ${whyKept(table)} AS reason`);
      return reason ? { outcome: 'kept', reason } : { outcome: 'done', reason: '' };
    } catch (thrown) {
      return resultOf(thrown);
    }
  }

  /**
   * Drops a partition with nothing in it but published rows below the low-water mark. Looked at once its lock is held:
   * whoever has written into it has ended then, and nobody can write into it any more. Only then, and for the drop
   * alone, is everybody kept out of the whole table.
   */
  function drop(view: PartitionView, table: string): Promise<ScriptResult> {
    const settings = scriptSettings(view);
    return runScript(pool, settings, [
      `LOCK TABLE ONLY ${table} IN SHARE MODE`,
      `DO $outbox$ DECLARE
         reason text := ${whyKept(table)};
       BEGIN
         IF reason IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = '${keepCode}', MESSAGE = reason; END IF;
       END $outbox$`,
      briefly(settings),
      `DROP TABLE ${table}`,
      `DELETE FROM ${names.retired} WHERE table_name = ${literalOf(table)}`,
    ]);
  }

  return { claim, look, create, lookInto, drop };
}

export type PartitionStore = ReturnType<typeof createPartitionStore>;

const viewColumns = {
  schema: text,
  owner: text,
  is_owner: bool,
  forbidden: orNull(text),
  partition: orNull(text),
  is_default: orNull(bool),
  from_ms: orNull(real),
  to_ms: orNull(real),
  now_ms: real,
};

/** @param rows one at least: PostgreSQL would have said that there is no such table */
function viewOf(rows: readonly RowOf<typeof viewColumns>[]): PartitionView {
  const [first] = rows as [RowOf<typeof viewColumns>];
  return {
    nowMs: first.now_ms,
    schema: first.schema,
    owner: first.is_owner ? undefined : first.owner,
    forbidden: first.forbidden,
    defaultTable: rows.find((row) => row.is_default)?.partition ?? undefined,
    partitions: rows.flatMap(({ partition: table, is_default, from_ms, to_ms }) =>
      table === null || is_default ? [] : [{ table, fromMs: from_ms ?? -Infinity, toMs: to_ms ?? Infinity }],
    ),
  };
}

/** As it stands in SQL. */
export const tableOf = ({ schema }: PartitionView, name: string): string =>
  `${schema}.${quoteIdentifier(name)}`;

/** A table like a partition, of none yet. */
export const createLike = (table: string, names: OutboxNames): string =>
  `CREATE TABLE ${table} (LIKE ${names.outbox} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)
       WITH (${partitionStorage})`;

export const attach = (table: string, { fromMs, toMs }: TimeRange, names: OutboxNames): string =>
  `ALTER TABLE ${names.outbox} ATTACH PARTITION ${table} FOR VALUES FROM (${timeOf(fromMs)}) TO (${timeOf(toMs)})`;

export const literalOf = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const isIn = ({ fromMs, toMs }: TimeRange): string =>
  `created_at >= ${timeOf(fromMs)} AND created_at < ${timeOf(toMs)}`;

const timeOf = (atMs: number): string => `'${new Date(atMs).toISOString()}'`;
const msOf = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::float8`;
