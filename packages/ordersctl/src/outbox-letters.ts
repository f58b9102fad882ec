import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseHandle } from '@orders/db';
import { listDeadLetters, type OutboxDeadLetter, redrive, skip } from '@orders/outbox';
import type { SelectionOptions } from './dead-letter-options.ts';

const pageMax = 500;

/** The outbox's dead letters that fit, in the order in which their events were written. */
export async function* fitting(
  pool: DatabaseHandle['pool'],
  selection: SelectionOptions,
  after = 0,
): AsyncGenerator<OutboxDeadLetter> {
  for (let last = after; ; ) {
    const page = await listDeadLetters(pool, { after: last, limit: pageMax });
    for (const letter of page) if (fits(letter, selection)) yield letter;
    if (page.length < pageMax) return;
    last = page.at(-1)?.id ?? last;
  }
}

function fits(letter: OutboxDeadLetter, { topic, failedWith, from, to, key }: SelectionOptions): boolean {
  return (
    (topic === undefined || letter.topic === topic) &&
    (failedWith === undefined || letter.reason.toLowerCase().includes(failedWith.toLowerCase())) &&
    (from === undefined || letter.failedAt >= from) &&
    (to === undefined || letter.failedAt < to) &&
    (key === undefined || letter.orderingKey === key)
  );
}

/** What becomes of the outbox's dead letters. */
export interface OutboxDecision {
  readonly action: 'REPLAY' | 'DISCARD';
  readonly reason: string;
  readonly by: string;
}

export async function decideOutboxLetter(
  pool: DatabaseHandle['pool'],
  id: number,
  { action, reason, by }: OutboxDecision,
): Promise<OutboxDeadLetter | undefined> {
  const said = `${reason} (by ${by})`; // the outbox keeps a reason, and no name
  if (action === 'DISCARD') return skip(pool, id, said);
  const [letter] = await redrive(pool, { id }, { reason: said });
  return letter;
}

/**
 * Decides about all that fit, each in a statement of its own. It needs no job row: what is decided is no longer among
 * the dead letters, so the same command goes on where another has ended.
 */
export async function decideOutboxLetters(
  pool: DatabaseHandle['pool'],
  selection: SelectionOptions,
  decision: OutboxDecision,
  {
    rate,
    signal,
    onProgress,
  }: { rate: number | undefined; signal: AbortSignal; onProgress(done: number): void },
): Promise<{ done: number; failed: number; isOver: boolean }> {
  const counts = { done: 0, failed: 0 };
  const ids: number[] = [];
  for await (const { id } of fitting(pool, selection)) ids.push(id);
  for (const id of ids) {
    if (signal.aborted) break;
    try {
      await decideOutboxLetter(pool, id, decision);
      counts.done++;
    } catch (error) {
      if ((error as { code?: string }).code !== 'OUTBOX_DEAD_LETTER_UNKNOWN') throw error;
      counts.failed++; // somebody else was quicker
    }
    onProgress(counts.done);
    if (rate !== undefined) await sleep(1000 / rate, undefined, { signal }).catch(() => undefined);
  }
  return { ...counts, isOver: counts.done + counts.failed === ids.length };
}
