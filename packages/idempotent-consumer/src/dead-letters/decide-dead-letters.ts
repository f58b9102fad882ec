import { asAnswer, askRows, run } from '../ask.ts';
import { placeOffsetSql } from '../migrations/0003-dead-letter-decisions.ts';
import type { AuditedBy } from '../operation/control.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import type { DeadLetterState } from './dead-letter-selection.ts';
import { type DeadLetterRefusal, scheduleLetter } from './schedule-letter.ts';

/** What is decided: try it again, or give it up for good. */
export type DeadLetterAction = 'REPLAY' | 'DISCARD';

/** What has become of one letter. `hint` is for people. */
export type DeadLetterDecision =
  | { readonly outcome: 'replayed' | 'discarded'; readonly id: string }
  | {
      readonly outcome: 'refused';
      readonly id: string;
      readonly refusal: DeadLetterRefusal;
      readonly hint: string;
    };

/**
 * Decides about dead letters, within `tx`, in the order of their records. Each change has the condition that the letter
 * still waits for a decision, so of two operators one is refused. The scheduled row is locked before the letter, as the
 * retry executor does it. Audited.
 */
export async function decideDeadLetters(
  tx: ConsumerTransaction,
  ids: readonly string[],
  action: DeadLetterAction,
  by: AuditedBy & { readonly jobId?: string },
): Promise<DeadLetterDecision[]> {
  if (ids.length === 0) return [];
  const decided = new Set(await (action === 'REPLAY' ? rearmScheduled : discardScheduled)(tx, ids));
  const refused = new Map<string, DeadLetterRefusal>();
  const others = ids.filter((id) => !decided.has(id));
  const letters = await readLetters(tx, others);
  for (const id of others) if (!letters.some((letter) => letter.id === id)) refused.set(id, 'unknown');
  for (const letter of letters) {
    const refusal = refusalOf(letter) ?? (await decideUnscheduled(tx, letter.id, action));
    if (refusal === undefined) decided.add(letter.id);
    else refused.set(letter.id, refusal);
  }
  await auditLetters(tx, [...decided], action, by);
  const outcome = action === 'REPLAY' ? 'replayed' : 'discarded';
  return ids.map((id) => {
    const refusal = refused.get(id);
    if (refusal === undefined) return { outcome, id };
    return {
      outcome: 'refused',
      id,
      refusal,
      hint: hintOf(
        refusal,
        letters.find((one) => one.id === id),
      ),
    };
  });
}

/** Of letters that are DEAD with a scheduled row that is DEAD: locks the rows, in their order. */
const lockedRows = `
  SELECT s.seq FROM scheduled_events s JOIN dead_letter_events d ON d.scheduled_seq = s.seq
  WHERE d.id = ANY ($1::uuid[]) AND d.state = 'DEAD' AND s.state = 'DEAD'
  ORDER BY s.seq FOR UPDATE OF s`;

/** The rows become due, as if they had never been tried; another claim fences off whoever had them. */
async function rearmScheduled(tx: ConsumerTransaction, ids: readonly string[]): Promise<string[]> {
  return idsOf(
    tx,
    `WITH locked AS (${lockedRows}), rearmed AS (
       UPDATE scheduled_events s SET state = 'DUE', attempts = 0, starts = 0, claims = s.claims + 1,
         next_at = clock_timestamp(), lease_until = NULL
       FROM locked WHERE s.seq = locked.seq AND s.state = 'DEAD'
       RETURNING s.seq
     ), letters AS (
       UPDATE dead_letter_events d SET state = 'DUE', decided_at = clock_timestamp()
       FROM rearmed WHERE d.scheduled_seq = rearmed.seq AND d.state = 'DEAD'
       RETURNING d.id
     ) ${asAnswer('SELECT id FROM letters')}`,
    ids,
  );
}

async function discardScheduled(tx: ConsumerTransaction, ids: readonly string[]): Promise<string[]> {
  return idsOf(
    tx,
    `WITH locked AS (${lockedRows}), discarded AS (
       UPDATE scheduled_events s SET state = 'DISCARDED', claims = s.claims + 1, lease_until = NULL,
         finished_at = clock_timestamp()
       FROM locked WHERE s.seq = locked.seq AND s.state = 'DEAD'
       RETURNING s.seq
     ), letters AS (
       UPDATE dead_letter_events d SET state = 'DISCARDED', decided_at = clock_timestamp()
       FROM discarded WHERE d.scheduled_seq = discarded.seq AND d.state = 'DEAD'
       RETURNING d.id
     ) ${asAnswer('SELECT id FROM letters')}`,
    ids,
  );
}

async function idsOf(tx: ConsumerTransaction, sql: string, ids: readonly string[]): Promise<string[]> {
  return (await askRows<{ id: string }>(tx, sql, [ids])).map(({ id }) => id);
}

interface Letter {
  readonly id: string;
  readonly consumer_name: string;
  readonly state: DeadLetterState;
  readonly is_record: boolean;
  readonly is_scheduled: boolean;
}

const readLetters = (tx: ConsumerTransaction, ids: readonly string[]): Promise<Letter[]> =>
  askRows<Letter>(
    tx,
    asAnswer(`SELECT d.id, d.worker_id AS consumer_name, d.state, s.seq IS NOT NULL AS is_scheduled,
        d.topic IS NOT NULL AND ${placeOffsetSql('d')} IS NOT NULL AS is_record
      FROM dead_letter_events d LEFT JOIN scheduled_events s ON s.seq = d.scheduled_seq
      WHERE d.id = ANY ($1::uuid[]) ORDER BY d.topic, d."partition", ${placeOffsetSql('d')}, d.id`),
    [ids],
  );

/** One that has a scheduled row was refused by it. */
function refusalOf(letter: Letter): DeadLetterRefusal | undefined {
  if (letter.state !== 'DEAD' || letter.is_scheduled) return 'decided';
  return letter.is_record ? undefined : 'no-record';
}

/** A letter without a scheduled row: its record could not be decoded, or an older version wrote it. */
async function decideUnscheduled(
  tx: ConsumerTransaction,
  id: string,
  action: DeadLetterAction,
): Promise<DeadLetterRefusal | undefined> {
  if (action === 'REPLAY') return scheduleLetter(tx, id);
  const discarded = await idsOf(
    tx,
    `WITH letters AS (
       UPDATE dead_letter_events SET state = 'DISCARDED', decided_at = clock_timestamp()
       WHERE id = ANY ($1::uuid[]) AND state = 'DEAD'
       RETURNING id
     ) ${asAnswer('SELECT id FROM letters')}`,
    [id],
  );
  return discarded.length === 1 ? undefined : 'decided';
}

async function auditLetters(
  tx: ConsumerTransaction,
  ids: readonly string[],
  action: DeadLetterAction,
  { actor, reason, jobId }: AuditedBy & { readonly jobId?: string },
): Promise<void> {
  if (ids.length === 0) return;
  await run(
    tx,
    `INSERT INTO consumer_audit (worker_id, actor, action, reason, detail)
     SELECT worker_id, $2, $3, $4, jsonb_strip_nulls(jsonb_build_object('deadLetterId', id, 'jobId', $5::text))
     FROM dead_letter_events WHERE id = ANY ($1::uuid[]) ORDER BY id`,
    [ids, actor, action.toLowerCase(), reason, jobId ?? null],
  );
}

function hintOf(refusal: DeadLetterRefusal, letter: Letter | undefined): string {
  switch (refusal) {
    case 'unknown':
      return 'there is no such dead letter';
    case 'decided':
      return letter === undefined || letter.state === 'DEAD'
        ? 'it waits for no decision any more'
        : `it waits for no decision: it is ${letter.state}`;
    case 'no-record':
      return `it is no record of a topic: whatever wrote it for ${letter?.consumer_name} decides about it`;
    case 'cut':
      return 'its bytes were cut when it was stored; take the whole record from its topic, or discard it';
  }
}
