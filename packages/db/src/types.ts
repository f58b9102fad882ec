import { createRequire } from 'node:module';
import type pg from 'pg';
import { DbError } from './errors.ts';

type Parse = (text: string) => unknown;

/** The parsers that pg begins with; it has no declarations for this part. */
const { init } = createRequire(import.meta.url)('pg-types/lib/textParsers') as {
  init(register: (typeId: number, parse: Parse) => void): void;
};

const int8 = 20;

const parsers = new Map<number, Parse>();
init((typeId, parse) => parsers.set(typeId, parse));
parsers.set(int8, safeInteger);

/**
 * How answers are read: as pg does by default, but `bigint` as a number. `pg.types` is shared with everybody who uses
 * pg in the process, so nothing is asked of it: whoever sets a parser there changes nothing here.
 */
export const types: pg.CustomTypesConfig = {
  getTypeParser: ((typeId: number) => parsers.get(typeId) ?? String) as typeof pg.types.getTypeParser,
};

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new DbError('DB_INTEGER_UNSAFE', `the bigint ${text} does not fit a JavaScript number`);
  }
  return value;
}
