import {
  CamelCasePlugin,
  Kysely,
  type KyselyPlugin,
  ParseJSONResultsPlugin,
  PostgresDialect,
  type QueryResult,
  type UnknownRow,
} from 'kysely';
import pg from 'pg';
import type { RunTransaction } from '../src/index.ts';
import type { Tx } from './counting.ts';

type Rows = (rows: UnknownRow[]) => UnknownRow[];

function resultPlugin(change: Rows): KyselyPlugin {
  return {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }): Promise<QueryResult<UnknownRow>> => ({
      ...result,
      rows: change(result.rows),
    }),
  };
}

const eachString =
  (change: (text: string) => unknown): Rows =>
  (rows) =>
    rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [name, typeof value === 'string' ? change(value) : value]),
      ),
    );

/** Two ids that a change of case takes for each other. */
export const lookalikes = ['twin', 'TWIN'] as const;

/** What becomes of a row's text. */
export const stringChanges: Readonly<Record<string, (text: string) => unknown>> = {
  capitals: (text) => text.toUpperCase(),
  'small letters': (text) => text.toLowerCase(),
  'another id': (text) => text.replaceAll('TWIN', 'twin'),
  'fewer digits': (text) => text.replaceAll(/\d/g, '0'),
  'cut short': (text) => text.slice(0, 20),
  'an empty list': () => '[]',
  'null for an empty text': (text) => (text === '' ? null : text),
  'parsed JSON': (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  },
  nonsense: () => 'nonsense',
  nothing: () => undefined,
};

/** Changes of whole results. */
export const rowChanges: Readonly<Record<string, Rows>> = {
  'every column renamed': (rows) =>
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [`my_${name}`, value]))),
  'rows dropped': () => [],
  'rows doubled': (rows) => [...rows, ...rows],
  ...Object.fromEntries(
    Object.entries(stringChanges).map(([name, change]) => [`strings as ${name}`, eachString(change)]),
  ),
};

/** Plugins that a caller's Kysely may have. */
export const plugins: Readonly<Record<string, () => KyselyPlugin>> = {
  CamelCasePlugin: () => new CamelCasePlugin(),
  ParseJSONResultsPlugin: () => new ParseJSONResultsPlugin(),
  ...Object.fromEntries(
    Object.entries(rowChanges).map(([name, change]) => [name, () => resultPlugin(change)]),
  ),
};

/** Every type that pg has a number for. */
const highestTypeId = 6_000;
const textTypeId = 25;

/** Parsers as `pg.types.setTypeParser` sets them for every type, but for one pool. */
export const typesWith = (change: (text: string) => unknown, isText: (id: number) => boolean) => ({
  getTypeParser: ((id: number) =>
    id <= highestTypeId && isText(id) ? change : (text: string) => text) as typeof pg.types.getTypeParser,
});

export const everyType = () => true;
export const everyTypeButText = (id: number) => id !== textTypeId;

/** A pool, and a Kysely on it, for what they change. */
export function openHostile(url: string, options: { plugin?: KyselyPlugin; types?: pg.CustomTypesConfig }) {
  const pool = new pg.Pool({ connectionString: url, max: 8, ...(options.types && { types: options.types }) });
  // biome-ignore lint/suspicious/noExplicitAny: the tests write SQL, not Kysely queries
  const db = new Kysely<any>({
    dialect: new PostgresDialect({ pool }),
    plugins: options.plugin === undefined ? [] : [options.plugin],
  });
  const transaction: RunTransaction<Tx> = (work) => db.transaction().execute(work);
  return { pool, transaction, close: () => db.destroy() };
}

/** The same transaction, where a plugin cannot be got past: a wrapper that is no Kysely. */
export const wrapped =
  (transaction: RunTransaction<Tx>): RunTransaction<Tx> =>
  (work, options) =>
    transaction(
      (tx) =>
        work(
          new Proxy(tx, {
            get: (target, name) => {
              if (name === 'withoutPlugins') return undefined;
              const value = Reflect.get(target, name, target);
              return typeof value === 'function' ? value.bind(target) : value;
            },
          }),
        ),
      options,
    );
