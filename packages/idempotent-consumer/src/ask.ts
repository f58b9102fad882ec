import { createHash } from 'node:crypto';
import { ConsumerError } from './errors.ts';
import { rawQuery } from './raw-query.ts';
import type { ConsumerTransaction, KyselyTransaction } from './transaction.ts';

/** Runs a statement whose answer nobody needs. */
export async function run(
  tx: ConsumerTransaction,
  sql: string,
  values: readonly unknown[] = [],
): Promise<void> {
  await rowsOf(tx, sql, values);
}

/**
 * Runs a statement that answers one row with one text column `answer`, which holds JSON, and returns it parsed.
 *
 * Everything this package reads comes this way. The caller's Kysely may have plugins that rename columns or rewrite
 * values, and the caller's pg may have parsers of any type that make something else of a value: a new event would look
 * like a duplicate and be lost. A single text is the answer that passes unharmed, or visibly not: one that was made by
 * {@link answerOf} has a hash with it.
 * @throws ConsumerError `CONSUMER_ANSWER_UNEXPECTED`
 */
export async function ask(
  tx: ConsumerTransaction,
  sql: string,
  values: readonly unknown[],
): Promise<unknown> {
  const rows: unknown = await rowsOf(tx, sql, values);
  const [row, ...others] = Array.isArray(rows) ? rows : [];
  const answer: unknown = others.length === 0 ? row?.answer : undefined;
  if (typeof answer !== 'string') throw unexpected('not one row with a text column "answer"');
  const json = sql.includes(hashSql) ? proved(answer) : answer;
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw unexpected('not JSON', cause);
  }
}

/** {@link ask} for a statement whose JSON is a list of objects. */
export async function askRows<Row>(
  tx: ConsumerTransaction,
  sql: string,
  values: readonly unknown[],
): Promise<Row[]> {
  const answer = await ask(tx, sql, values);
  if (!Array.isArray(answer)) throw unexpected('not a JSON list');
  return answer;
}

const hashSql = `encode(sha256(convert_to(json, 'UTF8')), 'hex')`;

/** SQL of {@link ask}: a JSON value, and behind it its hash. OFFSET keeps the value from being computed for each. */
export const answerOf = (json: string): string =>
  `SELECT json || ${hashSql} AS answer FROM (SELECT (${json})::text AS json OFFSET 0) AS answered`;

/** SQL of {@link askRows}: the rows of a query, in its order, as one JSON list of objects named by its columns. */
export const asAnswer = (query: string): string =>
  answerOf(`SELECT coalesce(json_agg(to_json(listed)), '[]') FROM (${query}) AS listed`);

const hashLength = 64;

function proved(answer: string): string {
  const json = answer.slice(0, -hashLength);
  const hash = createHash('sha256').update(json).digest('hex');
  if (answer.slice(-hashLength) !== hash) throw unexpected('another text than PostgreSQL gave');
  return json;
}

export function unexpected(what: string, cause?: unknown): ConsumerError {
  const message = `a statement of the consumer was answered by ${what}: does a Kysely plugin or a pg type parser change results? Nothing was stored`;
  return new ConsumerError('CONSUMER_ANSWER_UNEXPECTED', message, { cause });
}

async function rowsOf(tx: ConsumerTransaction, sql: string, values: readonly unknown[]): Promise<unknown> {
  if ('isTransaction' in tx) {
    if (tx.isTransaction !== true) throw notInTransaction('this is a Kysely instance');
    return (await withoutPlugins(tx).executeQuery(rawQuery(sql, values))).rows;
  }
  if ('totalCount' in tx) throw notInTransaction('this is a pool');
  return (await tx.query(sql, [...values])).rows;
}

function withoutPlugins(tx: KyselyTransaction): KyselyTransaction {
  const { withoutPlugins: without } = tx as { withoutPlugins?: () => KyselyTransaction };
  return typeof without === 'function' ? without.call(tx) : tx;
}

/** What the inbox is for would be lost. */
export function notInTransaction(problem: string): ConsumerError {
  const message = `the inbox row and what the handler writes must share one transaction; ${problem}`;
  return new ConsumerError('CONSUMER_NOT_IN_TRANSACTION', message);
}
