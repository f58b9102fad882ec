import { isDeepStrictEqual } from 'node:util';
import { OutboxError } from './errors.ts';
import type { PoolLike, QueryAnswer } from './postgres.ts';

/** A pool, or a connection, be it inside a transaction or not. */
export type Connection = Pick<PoolLike, 'query'>;

/** As {@link Connection}, where only the number of rows is asked. */
type Counting = { query(text: string, values?: unknown[]): Promise<Pick<QueryAnswer, 'rowCount'>> };

/** Makes of a column's value what was asked for; undefined if it is something else. */
type Column<T> = (value: unknown) => T | undefined;
type Columns = Readonly<Record<string, Column<unknown>>>;
/** A row with these columns. */
export type RowOf<C extends Columns> = {
  readonly [Name in keyof C]: Exclude<ReturnType<C[Name]>, undefined>;
};

/**
 * The one place where answers of the caller's pool are read. Anybody in the process may set parsers for types
 * (`pg.types.setTypeParser`), a pool may have its own, and whatever wraps a pool may change answers: of pg, the server's
 * own text is taken, past all parsers; and every column has to be what was asked for.
 * @throws OutboxError `OUTBOX_ANSWER_UNEXPECTED`
 */
export async function readRows<C extends Columns>(
  connection: Connection,
  columns: C,
  text: string,
  values?: unknown[],
): Promise<RowOf<C>[]> {
  await prove(connection);
  return rowsOf(await send(connection, text, values), columns);
}

/** As {@link readRows}, for a statement that answers exactly one row. */
export async function readRow<C extends Columns>(
  connection: Connection,
  columns: C,
  text: string,
  values?: unknown[],
): Promise<RowOf<C>> {
  const [row, ...more] = await readRows(connection, columns, text, values);
  if (row === undefined || more.length > 0) throw unexpected('an answer of one row has none, or several');
  return row;
}

/** Runs a statement whose answer does not matter, or several. */
export async function run(connection: Connection, text: string, values?: unknown[]): Promise<void> {
  await send(connection, text, values);
}

/**
 * @returns how many rows the statement returned or changed
 * @throws OutboxError `OUTBOX_ANSWER_UNEXPECTED`
 */
export async function countRows(connection: Counting, text: string, values?: unknown[]): Promise<number> {
  const { rowCount } = await send(connection, text, values);
  if (typeof rowCount === 'number') return rowCount;
  throw unexpected('an answer does not say how many rows there are');
}

function rowsOf<C extends Columns>({ rows }: QueryAnswer, columns: C): RowOf<C>[] {
  if (!Array.isArray(rows)) throw unexpected('an answer has no rows');
  const named = Object.entries(columns);
  return rows.map((given) => {
    const row: Record<string, unknown> = {};
    for (const [name, column] of named) {
      const value = column(given[name]);
      if (value === undefined) throw unexpected(`column ${name} of an answer is ${described(given[name])}`);
      row[name] = value;
    }
    return row as RowOf<C>;
  });
}

/** What pg takes for one query. */
interface PgQuery {
  readonly text: string;
  readonly values: unknown[] | undefined;
  readonly types: { getTypeParser(): (text: unknown) => unknown };
}

const serversText: PgQuery['types'] = { getTypeParser: () => (text) => text };

function send<A>(
  connection: { query(text: string, values?: unknown[]): Promise<A> },
  text: string,
  values: unknown[] | undefined,
): Promise<A> {
  if (!isOfPg<A>(connection)) return connection.query(text, values);
  return connection.query({ text, values, types: serversText });
}

/** Its pools count their connections, its clients have parsers. */
const isOfPg = <A>(connection: object): connection is { query(query: PgQuery): Promise<A> } =>
  'totalCount' in connection || 'getTypeParser' in connection;

const proved = new WeakSet<Connection>();

/** Asks each connection or pool once for what is known, before anything that would be done already when it is read. */
async function prove(connection: Connection): Promise<void> {
  if (proved.has(connection)) return;
  const [row] = rowsOf(await send(connection, proof, undefined), proofColumns);
  if (!isDeepStrictEqual(row, proofRow)) throw unexpected('answers have other values than the server gave');
  proved.add(connection);
}

function unexpected(what: string): OutboxError {
  const message = `${what}: does something between the database and this package change answers?`;
  return new OutboxError('OUTBOX_ANSWER_UNEXPECTED', message);
}

/** Never the value itself, which may be an event. */
const described = (value: unknown): string =>
  value === null
    ? 'null'
    : value === undefined
      ? 'not there'
      : `not what was asked for, but a ${typeof value}`;

/** `smallint`, `integer`. */
export const integer: Column<number> = (value) => {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) ? (number as number) : undefined;
};

/** `float8`, infinities included. */
export const real: Column<number> = (value) => {
  const number =
    typeof value === 'string' && /^-?([\d.]+(e[+-]?\d+)?|Infinity)$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && !Number.isNaN(number) ? number : undefined;
};

/** `bigint`, which may not fit a number, as text. */
export const digits: Column<string> = (value) => {
  if (typeof value === 'string') return /^\d+$/.test(value) ? value : undefined;
  return typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : undefined;
};

/** `text`, `uuid`. */
export const text: Column<string> = (value) => (typeof value === 'string' ? value : undefined);

/** `boolean`. */
export const bool: Column<boolean> = (value) => {
  if (typeof value === 'boolean') return value;
  return value === 't' ? true : value === 'f' ? false : undefined;
};

/** `bytea`, in either form that the server may write. */
export const bytes: Column<Uint8Array> = (value) => {
  if (typeof value !== 'string') return value instanceof Uint8Array ? value : undefined;
  if (value.startsWith('\\x')) return Buffer.from(value.slice(2), 'hex');
  const escaped = /\\(\\|[0-7]{3})/g;
  const byteOf = (_: string, code: string) =>
    code === '\\' ? code : String.fromCharCode(Number.parseInt(code, 8));
  return Buffer.from(value.replaceAll(escaped, byteOf), 'latin1');
};

/** JSON; asked for as `text`, since the drivers parse it as they like. */
export const json: Column<unknown> = (value) => {
  try {
    return typeof value === 'string' ? JSON.parse(value) : undefined;
  } catch {
    return undefined;
  }
};

/** A time; asked for by {@link secondsOf}, since its text depends on the session's settings. */
export const time: Column<Date> = (value) => {
  const atS = real(value);
  return atS === undefined ? undefined : new Date(Math.round(atS * 1_000_000) / 1_000);
};

/** A time in SQL as seconds since 1970, for {@link time}. */
export const secondsOf = (sqlTime: string): string => `extract(epoch FROM ${sqlTime})::float8`;

/** What may be null as well. */
export const orNull =
  <T>(column: Column<T>): Column<T | null> =>
  (value) =>
    value === null ? null : column(value);

const proof = `
  SELECT 21::smallint AS small, 23 AS integer, 20::bigint AS large, 1.5::float8 AS real, 'Text'::text AS text,
         '0a1b2c3d-0000-4000-8000-00000000000f'::uuid AS id, true AS yes, false AS no, '\\x005cff'::bytea AS bytes,
         '{"a": [1]}'::jsonb::text AS json, NULL::text AS nothing`;

const proofColumns = {
  small: integer,
  integer,
  large: digits,
  real,
  text,
  id: text,
  yes: bool,
  no: bool,
  bytes,
  json,
  nothing: orNull(text),
};

const proofRow = {
  small: 21,
  integer: 23,
  large: '20',
  real: 1.5,
  text: 'Text',
  id: '0a1b2c3d-0000-4000-8000-00000000000f',
  yes: true,
  no: false,
  bytes: Buffer.from([0, 0x5c, 0xff]),
  json: { a: [1] },
  nothing: null,
};
