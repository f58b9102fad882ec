import { answerOf, asAnswer, ask, askRows, run } from '../ask.ts';
import { keyOfRecord } from '../intake/sort-records.ts';
import { type Backend, backendOf, backendSql } from '../processed-events.ts';
import type { ConsumedRecord } from '../record.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import { bytesOf, packHeaders, unpackHeaders } from './stored-record.ts';

/** What happens to later events of a key while one of its events is a dead letter. */
export type OnDeadLetter = 'block-key' | 'continue';

/** An event to be stored: it failed, or it waits behind one of its key. */
export interface NewScheduledEvent {
  readonly eventId: string;
  readonly orderingKey: string;
  readonly record: ConsumedRecord;
  readonly state: 'DUE' | 'DEAD' | 'SKIPPED';
  readonly attempts: number;
  /** From now; a waiting event is due at once, and waits for its turn as the head of its key. */
  readonly delayMs: number;
  readonly reason: string | null;
}

/** An event that is to be tried again now. */
export interface ClaimedEvent {
  /** Decimal. */
  readonly seq: string;
  readonly eventId: string;
  readonly orderingKey: string;
  readonly record: ConsumedRecord;
  /** Failures so far. */
  readonly attempts: number;
  /** Which claim this is; an older one may change nothing. */
  readonly claims: number;
  /** How often it was begun, this time included, by a process that did not live to say how it ended. */
  readonly starts: number;
}

/** A consumer with few unfinished events is asked for their keys instead of about each key of a chunk. */
const fewUnfinished = 100;

/**
 * Keys that have an unfinished event: at least those of the given ones that have. Events of such a key are stored
 * behind it.
 */
export async function blockedKeys(
  tx: ConsumerTransaction,
  consumerName: string,
  keys: readonly string[],
  onDeadLetter: OnDeadLetter,
): Promise<ReadonlySet<string>> {
  const isUnfinished = `s.worker_id = $1 AND s.${unfinishedSql(onDeadLetter)}`;
  const first = await askRows<{ key: string }>(
    tx,
    asAnswer(`SELECT s.ordering_key AS key FROM scheduled_events s WHERE ${isUnfinished}
      ORDER BY s.ordering_key LIMIT ${fewUnfinished + 1}`),
    [consumerName],
  );
  if (first.length <= fewUnfinished) return new Set(first.map(({ key }) => key));
  const rows = await askRows<{ key: string }>(
    tx,
    asAnswer(`SELECT k.key FROM unnest($2::text[]) AS k (key)
      WHERE EXISTS (SELECT FROM scheduled_events s WHERE ${isUnfinished} AND s.ordering_key = k.key)`),
    [consumerName, [...new Set(keys)]],
  );
  return new Set(rows.map(({ key }) => key));
}

/** Stores events in the order given, which is their order within a key. @returns their `seq`, in that order */
export async function storeScheduled(
  tx: ConsumerTransaction,
  consumerName: string,
  events: readonly NewScheduledEvent[],
): Promise<string[]> {
  if (events.length === 0) return [];
  const rows = await askRows<{ seq: string }>(
    tx,
    `WITH stored AS (
       INSERT INTO scheduled_events (worker_id, event_id, ordering_key, topic, "partition", "offset", key, value,
         headers, recorded_at_ms, state, attempts, next_at, reason, finished_at)
       SELECT $1, e.event_id, e.ordering_key, e.topic, e."partition", e."offset", e.key, e.value,
         e.headers, e.recorded_at_ms, e.state, e.attempts,
         clock_timestamp() + e.delay_ms * interval '1 millisecond', e.reason,
         CASE e.state WHEN 'SKIPPED' THEN clock_timestamp() END
       FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::bytea[], $8::bytea[],
         $9::bytea[], $10::bigint[], $11::text[], $12::int[], $13::float8[], $14::text[])
         WITH ORDINALITY AS e (event_id, ordering_key, topic, "partition", "offset", key, value, headers,
           recorded_at_ms, state, attempts, delay_ms, reason, nth)
       ORDER BY e.nth
       RETURNING seq
     ) ${asAnswer('SELECT seq::text FROM stored ORDER BY stored.seq')}`,
    [
      consumerName,
      events.map((one) => one.eventId),
      events.map((one) => one.orderingKey),
      events.map(({ record }) => record.topic),
      events.map(({ record }) => record.partition),
      events.map(({ record }) => record.offset),
      events.map(({ record }) => bytesOf(record.key)),
      events.map(({ record }) => bytesOf(record.value)),
      events.map(({ record }) => packHeaders(record.headers)),
      events.map(({ record }) => record.timestampMs),
      events.map((one) => one.state),
      events.map((one) => one.attempts),
      events.map((one) => one.delayMs),
      events.map((one) => one.reason),
    ],
  );
  return rows.map(({ seq }) => seq);
}

/**
 * Claims the heads of keys that are due, at most `countMax`, for `leaseMs`. The head of a key is computed from the rows
 * each time (its first unfinished one) and never handed over when another is done: a row that is stored behind a head
 * which finishes meanwhile would wait for ever. Looks at each unfinished key once, however many events wait in it. At
 * most `suspectsMax` of them were begun before without anybody having said how it ended.
 */
export async function claimHeads(
  tx: ConsumerTransaction,
  consumerName: string,
  options: {
    readonly countMax: number;
    readonly suspectsMax: number;
    readonly leaseMs: number;
    readonly onDeadLetter: OnDeadLetter;
  },
): Promise<ClaimedEvent[]> {
  const of = `s.worker_id = $1 AND s.${unfinishedSql(options.onDeadLetter)}`;
  const columns = 's.seq, s.ordering_key, s.state, s.next_at, s.lease_until, s.starts';
  const rows = await askRows<ClaimedRow>(
    tx,
    `WITH RECURSIVE heads AS (
       (SELECT ${columns} FROM scheduled_events s WHERE ${of} ORDER BY s.ordering_key, s.seq LIMIT 1)
       UNION ALL
       SELECT n.* FROM heads h, LATERAL (
         SELECT ${columns} FROM scheduled_events s WHERE ${of} AND s.ordering_key > h.ordering_key
         ORDER BY s.ordering_key, s.seq LIMIT 1) n
     ), due AS (
       SELECT seq FROM (
         SELECT seq, next_at, starts, row_number() OVER (PARTITION BY starts > 0 ORDER BY next_at) AS nth FROM heads
         WHERE state = 'DUE' AND next_at <= clock_timestamp()
           AND coalesce(lease_until, '-infinity') < clock_timestamp()) AS ready
       WHERE starts = 0 OR nth <= $4
       ORDER BY next_at LIMIT $2
     ), mine AS (
       SELECT s.seq FROM scheduled_events s JOIN due USING (seq)
       WHERE s.state = 'DUE' AND coalesce(s.lease_until, '-infinity') < clock_timestamp()
       FOR UPDATE OF s SKIP LOCKED
     ), claimed AS (
       UPDATE scheduled_events s SET claims = s.claims + 1, starts = s.starts + 1,
         lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
       FROM mine WHERE s.seq = mine.seq
       RETURNING s.*
     ) ${asAnswer(claimedColumns)}`,
    [consumerName, options.countMax, options.leaseMs, options.suspectsMax],
  );
  return rows.map(claimedOf);
}

/** Locks a claimed event, if the claim still stands; and tells the backend, as `insertReceived` does. */
export async function lockClaimed(
  tx: ConsumerTransaction,
  { seq, claims }: ClaimedEvent,
  handleTimeoutMs: number,
): Promise<{ readonly isMine: boolean; readonly backend: Backend }> {
  const answer = (await ask(
    tx,
    `WITH mine AS (
       SELECT seq FROM scheduled_events WHERE seq = $1::bigint AND claims = $2 AND state = 'DUE' FOR UPDATE
     ) ${answerOf(`SELECT json_build_object('isMine', EXISTS (SELECT FROM mine), ${backendSql(handleTimeoutMs)})`)}`,
    [seq, claims],
  )) as { isMine?: unknown; pid?: unknown; xid?: unknown } | null;
  return { isMine: answer?.isMine === true, backend: backendOf(answer) };
}

/** Writes how a try of a claimed event ended. */
export async function settleClaimed(
  tx: ConsumerTransaction,
  { seq, claims }: ClaimedEvent,
  result:
    | { readonly state: 'DONE' }
    | { readonly state: 'DISCARDED'; readonly reason: string }
    | { readonly state: 'SKIPPED' | 'DEAD'; readonly attempts: number; readonly reason: string }
    | { readonly state: 'DUE'; readonly attempts: number; readonly reason: string; readonly delayMs: number },
): Promise<void> {
  const { attempts = null, reason = null, delayMs = 0 } = result as Partial<Record<string, unknown>>;
  await run(
    tx,
    `UPDATE scheduled_events SET state = $3::varchar, starts = 0, lease_until = NULL,
       attempts = coalesce($4::int, attempts), reason = coalesce($5::text, reason),
       next_at = clock_timestamp() + $6::float8 * interval '1 millisecond',
       finished_at = CASE WHEN $3::varchar IN ('DONE', 'SKIPPED', 'DISCARDED') THEN clock_timestamp() END
     WHERE seq = $1::bigint AND claims = $2 AND state = 'DUE'`,
    [seq, claims, result.state, attempts, reason, delayMs],
  );
}

/** Gives a claimed event back untried: through no fault of its own it could not be run. */
export async function releaseClaimed(
  tx: ConsumerTransaction,
  { seq, claims }: ClaimedEvent,
  delayMs: number,
): Promise<void> {
  await run(
    tx,
    `UPDATE scheduled_events SET starts = 0, lease_until = NULL,
       next_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
     WHERE seq = $1::bigint AND claims = $2 AND state = 'DUE'`,
    [seq, claims, delayMs],
  );
}

const provisional = 'replay:';

/**
 * The key of a replayed letter whose record nobody has decoded yet: that of the record, so that letters of one key are
 * decoded in order; apart from the keys of events, so that no event waits behind one that cannot be decoded.
 */
export const provisionalKeyOf = (record: ConsumedRecord, letterId: string): string =>
  provisional + (keyOfRecord(record) ?? letterId);

export const isProvisional = ({ orderingKey }: ClaimedEvent): boolean => orderingKey.startsWith(provisional);

/** Now that it is decoded, a claimed event waits for its turn in the key that it is of. */
export async function keyClaimed(
  tx: ConsumerTransaction,
  { seq, claims }: ClaimedEvent,
  orderingKey: string,
): Promise<void> {
  await run(
    tx,
    `UPDATE scheduled_events SET ordering_key = $3, starts = 0, lease_until = NULL, next_at = clock_timestamp()
     WHERE seq = $1::bigint AND claims = $2 AND state = 'DUE'`,
    [seq, claims, orderingKey],
  );
}

/** Its inbox row was just written under this id: from now on it is the event of this id. */
export async function nameClaimed(
  tx: ConsumerTransaction,
  { seq, claims }: ClaimedEvent,
  eventId: string,
): Promise<void> {
  await run(
    tx,
    `UPDATE scheduled_events SET event_id = $3 WHERE seq = $1::bigint AND claims = $2 AND state = 'DUE'`,
    [seq, claims, eventId],
  );
}

/** Written so that PostgreSQL sees that the partial index fits. */
export const unfinishedSql = (onDeadLetter: OnDeadLetter): string =>
  onDeadLetter === 'block-key' ? `state IN ('DUE', 'DEAD')` : `state = 'DUE'`;

const claimedColumns = `
  SELECT seq::text, event_id, ordering_key, topic, "partition", "offset"::text, encode(key, 'base64') AS key,
    encode(value, 'base64') AS value, encode(headers, 'base64') AS headers, recorded_at_ms::text, attempts, claims, starts
  FROM claimed ORDER BY claimed.seq`;

interface ClaimedRow {
  readonly seq: string;
  readonly event_id: string;
  readonly ordering_key: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: string;
  readonly recorded_at_ms: string | null;
  readonly attempts: number;
  readonly claims: number;
  readonly starts: number;
}

const claimedOf = (row: ClaimedRow): ClaimedEvent => ({
  seq: row.seq,
  eventId: row.event_id,
  orderingKey: row.ordering_key,
  attempts: row.attempts,
  claims: row.claims,
  starts: row.starts,
  record: {
    topic: row.topic,
    partition: row.partition,
    offset: row.offset,
    key: row.key === null ? null : Buffer.from(row.key, 'base64'),
    value: row.value === null ? null : Buffer.from(row.value, 'base64'),
    headers: unpackHeaders(Buffer.from(row.headers, 'base64')),
    timestampMs: row.recorded_at_ms === null ? null : Number(row.recorded_at_ms),
  },
});
