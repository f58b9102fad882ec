import { ask } from '../ask.ts';
import { type OnDeadLetter, unfinishedSql } from '../retries/scheduled-events.ts';
import type { ConsumerTransaction } from '../transaction.ts';

/** A count that may have stopped at its limit. */
export interface BoundedCount {
  readonly count: number;
  /** False when there are more. */
  readonly isComplete: boolean;
}

/** A key with an event that is tried again or waits for a decision; later events of the key wait behind it. */
export interface BlockedKey {
  /** As it is stored: `key:…`, `hash:…` or `event:…`. */
  readonly orderingKey: string;
  readonly eventId: string;
  readonly state: 'DUE' | 'DEAD';
  readonly attempts: number;
  readonly reason: string | null;
  /** When it was stored. */
  readonly since: Date;
  readonly ageMs: number;
  readonly nextAt: Date;
  /** Events that wait behind it, counted up to 1,000. */
  readonly waiting: number;
}

/** A consumer as the database says, whatever its members are doing. */
export interface ConsumerStatus {
  /** Events that are stored and not finished: tried again, or waiting behind one of their key. */
  readonly scheduled: BoundedCount;
  /** Dead letters that wait for a decision. */
  readonly dead: BoundedCount;
  readonly blockedKeys: BoundedCount & {
    /** Those that have been so for longest, of the keys that were counted. */
    readonly oldest: readonly BlockedKey[];
  };
  /** Age of the oldest event that holds a key up, milliseconds; null when there is none. */
  readonly oldestScheduledAgeMs: number | null;
  /** Who has paused it, and why; null if nobody has. */
  readonly paused: { readonly since: Date; readonly actor: string; readonly reason: string | null } | null;
  /** Until then the kill switch does not trip; null unless an operator has said so. */
  readonly killSwitchOffUntil: Date | null;
}

/** What {@link consumerStatus} looks at. */
export interface ConsumerStatusOptions {
  readonly consumerName: string;
  /** Rows that are counted of each kind, at most (10,000): what bounds the cost. */
  readonly countMax?: number;
  /** Blocked keys that are shown; 20. */
  readonly keysMax?: number;
  /** The consumer's own option: with `continue` a dead letter blocks no key. */
  readonly onDeadLetter?: OnDeadLetter;
}

/** Looks at a consumer, in one statement of bounded cost, whatever waits. */
export async function consumerStatus(
  tx: ConsumerTransaction,
  options: ConsumerStatusOptions,
): Promise<ConsumerStatus> {
  const { consumerName, countMax = 10_000, keysMax = 20, onDeadLetter = 'block-key' } = options;
  const found = (await ask(tx, statusSql(onDeadLetter), [consumerName, countMax, keysMax])) as StatusRow;
  const bounded = (count: number): BoundedCount => ({ count, isComplete: count < countMax });
  const { paused, offUntil } = found;
  return {
    // Of a consumer with very many dead letters fewer scheduled events may be seen.
    scheduled: { count: found.due, isComplete: found.unfinished < countMax },
    dead: bounded(found.dead),
    blockedKeys: { ...bounded(found.keys), oldest: (found.oldest ?? []).map(keyOf) },
    oldestScheduledAgeMs: found.oldestAgeMs,
    paused: paused === null ? null : { ...paused, since: new Date(paused.since) },
    killSwitchOffUntil: offUntil === null ? null : new Date(offUntil),
  };
}

const waitingMax = 1_000;

function statusSql(onDeadLetter: OnDeadLetter): string {
  const of = `s.worker_id = $1 AND s.${unfinishedSql(onDeadLetter)}`;
  const columns = 's.ordering_key, s.event_id, s.state, s.attempts, s.reason, s.created_at, s.next_at';
  return `
    WITH RECURSIVE unfinished AS (
      SELECT s.state FROM scheduled_events s WHERE s.worker_id = $1 AND s.${unfinishedSql('block-key')} LIMIT $2
    ), letters AS (
      SELECT FROM dead_letter_events d WHERE d.worker_id = $1 AND d.state = 'DEAD' LIMIT $2
    ), heads AS (
      (SELECT ${columns}, 1 AS nth FROM scheduled_events s WHERE ${of} ORDER BY s.ordering_key, s.seq LIMIT 1)
      UNION ALL
      SELECT n.*, h.nth + 1 FROM heads h, LATERAL (
        SELECT ${columns} FROM scheduled_events s WHERE ${of} AND s.ordering_key > h.ordering_key
        ORDER BY s.ordering_key, s.seq LIMIT 1) n
      WHERE h.nth < $2
    ), oldest AS (
      SELECT h.*, ${ageSql('h.created_at')} AS age_ms, (
        SELECT count(*) - 1 FROM (
          SELECT FROM scheduled_events s WHERE ${of} AND s.ordering_key = h.ordering_key LIMIT ${waitingMax + 1}) w
        ) AS waiting
      FROM (SELECT * FROM heads ORDER BY created_at, ordering_key LIMIT $3) h
    )
    SELECT json_build_object(
      'unfinished', (SELECT count(*) FROM unfinished),
      'due', (SELECT count(*) FROM unfinished WHERE state = 'DUE'),
      'dead', (SELECT count(*) FROM letters),
      'keys', (SELECT count(*) FROM heads),
      'oldest', (SELECT json_agg(to_json(o) ORDER BY o.created_at, o.ordering_key) FROM oldest o),
      'oldestAgeMs', (SELECT ${ageSql('first')} FROM (SELECT min(created_at) AS first FROM heads) h WHERE first IS NOT NULL),
      'paused', (SELECT json_build_object('since', coalesce(a.at, c.changed_at), 'actor', coalesce(a.actor, '?'),
          'reason', a.reason)
        FROM consumer_control c LEFT JOIN LATERAL (
          SELECT * FROM consumer_audit WHERE worker_id = $1 AND action = 'pause' ORDER BY id DESC LIMIT 1) a ON true
        WHERE c.worker_id = $1 AND c.paused),
      'offUntil', (SELECT kill_switch_off_until FROM consumer_control
        WHERE worker_id = $1 AND kill_switch_off_until > clock_timestamp())
    )::text AS answer`;
}

const ageSql = (time: string): string =>
  `greatest(0, extract(epoch FROM clock_timestamp() - ${time}) * 1000)::float8`;

interface StatusRow {
  readonly unfinished: number;
  readonly due: number;
  readonly dead: number;
  readonly keys: number;
  readonly oldest: readonly HeadRow[] | null;
  readonly oldestAgeMs: number | null;
  readonly paused: { readonly since: string; readonly actor: string; readonly reason: string | null } | null;
  readonly offUntil: string | null;
}

interface HeadRow {
  readonly ordering_key: string;
  readonly event_id: string;
  readonly state: 'DUE' | 'DEAD';
  readonly attempts: number;
  readonly reason: string | null;
  readonly created_at: string;
  readonly next_at: string;
  readonly age_ms: number;
  readonly waiting: number;
}

const keyOf = (row: HeadRow): BlockedKey => ({
  orderingKey: row.ordering_key,
  eventId: row.event_id,
  state: row.state,
  attempts: row.attempts,
  reason: row.reason,
  since: new Date(row.created_at),
  ageMs: row.age_ms,
  nextAt: new Date(row.next_at),
  waiting: row.waiting,
});
