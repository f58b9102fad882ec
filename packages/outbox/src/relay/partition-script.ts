import { run } from '../answers.ts';
import { asError } from '../errors.ts';
import type { PoolLike } from '../postgres.ts';

/** How a change of the partitions ended, and why; all but `done` have changed nothing. */
export interface ScriptResult {
  readonly outcome: 'done' | 'kept' | 'busy' | 'gone' | 'in the way' | 'forbidden' | 'failed';
  readonly reason: string;
}

/** What a script raises when it finds that it must not go on. */
export const keepCode = 'OBX01';

const outcomes: Readonly<Record<string, ScriptResult['outcome']>> = {
  [keepCode]: 'kept',
  '55P03': 'busy', // lock_timeout
  '57014': 'busy', // statement_timeout
  '40P01': 'busy', // deadlock
  '42P01': 'gone',
  '42P07': 'in the way',
  '23505': 'in the way', // somebody makes a table of this name at the same time
  '42P17': 'in the way', // the range overlaps that of another partition
  '23514': 'in the way', // the default partition has rows of the range
  '42501': 'forbidden',
};

/** What every script needs. */
export interface ScriptSettings {
  /** Role that owns the table, if it is not the connection's own. */
  readonly owner: string | undefined;
  /** How long anybody may have to wait because of it. */
  readonly lockTimeoutMs: number;
}

/**
 * Runs statements as one transaction, sent as one message: the server needs nothing more from this process to end it,
 * so locks are not held by one that sleeps, and whenever it dies either all is done or nothing. Every lock is
 * waited for only briefly, since whoever comes later queues up behind.
 * @throws what is no answer to these statements: the connection or the server is gone
 */
export async function runScript(
  pool: PoolLike,
  { owner, lockTimeoutMs }: ScriptSettings,
  statements: readonly string[],
): Promise<ScriptResult> {
  const script = [
    'BEGIN ISOLATION LEVEL READ COMMITTED', // each statement sees what was committed before it
    `SET LOCAL lock_timeout = ${lockTimeoutMs}`,
    ...(owner === undefined ? [] : [`SET LOCAL ROLE ${owner}`]),
    ...statements,
    'COMMIT',
  ];
  const client = await pool.connect();
  client.on('error', () => undefined); // the query rejects too
  try {
    await run(client, script.join(';\n'));
    return { outcome: 'done', reason: '' };
  } catch (thrown) {
    return resultOf(thrown);
  } finally {
    client.release(true); // it is seldom needed, and may be in a transaction that failed
  }
}

/**
 * What an error of PostgreSQL means.
 * @throws what is no answer to the statement
 */
export function resultOf(thrown: unknown): ScriptResult {
  const error = asError(thrown) as Error & { code?: string };
  const { code = '' } = error;
  const outcome = outcomes[code];
  const isAnswer = code.length === 5 && !/^(08|57)/.test(code);
  if (outcome === undefined && !isAnswer) throw error;
  return { outcome: outcome ?? 'failed', reason: error.message };
}

/** From here on, what a statement does to others is over within the lock time-out, whatever it has to wait for. */
export const briefly = ({ lockTimeoutMs }: ScriptSettings): string =>
  `SET LOCAL statement_timeout = ${lockTimeoutMs}`;

/** Several statements as one, under one time-out. */
export const together = (statements: readonly string[]): string =>
  `DO $outbox$ BEGIN\n${statements.map((statement) => `${statement};`).join('\n')}\nEND $outbox$`;
