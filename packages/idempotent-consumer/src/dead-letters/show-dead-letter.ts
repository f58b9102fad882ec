import { ask } from '../ask.ts';
import type { RecordHeaders } from '../record.ts';
import { hashOf, headersOfJson, unpackHeaders } from '../retries/stored-record.ts';
import type { ConsumerTransaction } from '../transaction.ts';
import { selectedFrom } from './dead-letter-selection.ts';
import { type ListedDeadLetter, type ListedRow, listedColumns, listedOf } from './list-dead-letters.ts';

/** A dead letter with all that is known of it. */
export interface ShownDeadLetter extends ListedDeadLetter {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: RecordHeaders;
  /** When the record was written, in milliseconds since 1970, where that is known. */
  readonly timestampMs: number | null;
  /** Whether key and value are the whole ones; longer ones may have been cut. */
  readonly isWhole: boolean;
  /** Bytes of the whole value, where that is known. */
  readonly valueBytes: number | null;
  /** What stands in place of a record's bytes. */
  readonly payload: unknown;
  readonly scheduled: ScheduledRow | null;
  /** What was done with it, the oldest first. */
  readonly history: readonly AuditEntry[];
}

/** The row by which an event is tried again. */
export interface ScheduledRow {
  /** Decimal. */
  readonly seq: string;
  readonly eventId: string;
  readonly orderingKey: string;
  readonly state: 'DUE' | 'DEAD' | 'DONE' | 'SKIPPED' | 'DISCARDED';
  readonly attempts: number;
  readonly nextAt: Date;
  readonly createdAt: Date;
}

/** An entry of `consumer_audit`. */
export interface AuditEntry {
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly reason: string | null;
  readonly detail: object;
}

/** A dead letter with bytes, headers, its scheduled row and what was done with it; undefined if there is none. */
export async function showDeadLetter(
  tx: ConsumerTransaction,
  id: string,
): Promise<ShownDeadLetter | undefined> {
  const found = (await ask(
    tx,
    `SELECT coalesce((SELECT to_json(l) FROM (
       SELECT ${listedColumns}, ${bytesColumns}, d.payload,
         CASE WHEN s.seq IS NOT NULL THEN json_build_object('seq', s.seq::text, 'eventId', s.event_id,
           'orderingKey', s.ordering_key, 'state', s.state, 'attempts', s.attempts, 'nextAt', s.next_at,
           'createdAt', s.created_at) END AS scheduled,
         (SELECT coalesce(json_agg(json_build_object('at', a.at, 'actor', a.actor, 'action', a.action,
             'reason', a.reason, 'detail', a.detail) ORDER BY a.id), '[]')
          FROM consumer_audit a WHERE a.detail ->> 'deadLetterId' = $1 AND a.detail ? 'deadLetterId') AS history
       FROM ${selectedFrom} WHERE d.id = $1::uuid) l), 'null')::text AS answer`,
    [id],
  )) as ShownRow | null;
  return found === null ? undefined : shownOf(found);
}

/** Columns of {@link BytesRow}: of the scheduled row where there is one, since that is never cut. */
export const bytesColumns = `
  CASE WHEN s.seq IS NULL THEN encode(d.key, 'base64') ELSE encode(s.key, 'base64') END AS key,
  CASE WHEN s.seq IS NULL THEN encode(d.value, 'base64') ELSE encode(s.value, 'base64') END AS value,
  encode(coalesce(s.headers, d.headers_exact), 'base64') AS headers_exact, d.headers AS headers_json,
  coalesce(s.recorded_at_ms, d.recorded_at_ms)::text AS recorded_at_ms, encode(d.record_hash, 'base64') AS record_hash,
  coalesce(d.value_bytes, octet_length(d.value)) AS value_bytes, s.seq IS NOT NULL AS is_scheduled`;

export interface BytesRow {
  readonly key: string | null;
  readonly value: string | null;
  readonly headers_exact: string | null;
  readonly headers_json: Parameters<typeof headersOfJson>[0];
  readonly recorded_at_ms: string | null;
  readonly record_hash: string | null;
  readonly value_bytes: number | null;
  readonly is_scheduled: boolean;
}

type KeptRecord = Pick<ShownDeadLetter, 'key' | 'value' | 'headers' | 'timestampMs' | 'isWhole'>;

/** What is kept of a record. Rows of older versions have no hash; their bytes were never cut. */
export function keptRecordOf(row: BytesRow): KeptRecord {
  const kept = {
    key: bytesOf(row.key),
    value: bytesOf(row.value),
    headers:
      row.headers_exact === null
        ? headersOfJson(row.headers_json)
        : unpackHeaders(Buffer.from(row.headers_exact, 'base64')),
    timestampMs: row.recorded_at_ms === null ? null : Number(row.recorded_at_ms),
  };
  const isWhole =
    row.is_scheduled ||
    row.record_hash === null ||
    Buffer.from(hashOf(kept)).toString('base64') === plain(row.record_hash);
  return { ...kept, isWhole };
}

const bytesOf = (base64: string | null): Buffer | null =>
  base64 === null ? null : Buffer.from(base64, 'base64');

/** PostgreSQL breaks base64 into lines. */
const plain = (base64: string): string => base64.replaceAll('\n', '');

interface ShownRow extends ListedRow, BytesRow {
  readonly payload: unknown;
  readonly scheduled:
    | (Omit<ScheduledRow, 'nextAt' | 'createdAt'> & { nextAt: string; createdAt: string })
    | null;
  readonly history: readonly (Omit<AuditEntry, 'at'> & { readonly at: string })[];
}

function shownOf(row: ShownRow): ShownDeadLetter {
  const { scheduled } = row;
  return {
    ...listedOf(row),
    ...keptRecordOf(row),
    valueBytes: row.value_bytes,
    payload: row.payload,
    scheduled:
      scheduled === null
        ? null
        : { ...scheduled, nextAt: new Date(scheduled.nextAt), createdAt: new Date(scheduled.createdAt) },
    history: row.history.map((entry) => ({ ...entry, at: new Date(entry.at) })),
  };
}
