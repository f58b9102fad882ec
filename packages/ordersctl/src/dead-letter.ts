import type { ListedDeadLetter, ShownDeadLetter } from '@orders/idempotent-consumer';
import type { OutboxDeadLetter } from '@orders/outbox';

/** A dead letter of the outbox or of a consumer, in the same words. */
export interface DeadLetter {
  /** `outbox`, or the consumer's name. */
  readonly of: string;
  readonly id: string;
  readonly state: string;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: string | null;
  readonly key: string | null;
  readonly eventId: string | null;
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: Date;
  readonly decidedAt: Date | null;
}

export const outbox = 'outbox';

export const ofOutbox = (letter: OutboxDeadLetter): DeadLetter => ({
  of: outbox,
  id: String(letter.id),
  state: letter.state,
  topic: letter.topic,
  partition: null,
  offset: null,
  key: letter.orderingKey,
  eventId: letter.eventId,
  reason: letter.reason,
  attempts: letter.attempts,
  failedAt: letter.failedAt,
  decidedAt: null,
});

export const ofConsumer = (letter: ListedDeadLetter): DeadLetter => ({
  of: letter.consumerName,
  id: letter.id,
  state: letter.state,
  topic: letter.topic,
  partition: letter.partition,
  offset: letter.offset,
  key: letter.orderingKey,
  eventId: letter.eventId,
  reason: letter.reason,
  attempts: letter.attempts,
  failedAt: letter.failedAt,
  decidedAt: letter.decidedAt,
});

export function lineOf(letter: DeadLetter): string {
  const { of, id, state, topic, partition, offset, key, failedAt, reason } = letter;
  const place = topic === null ? '' : ` ${topic}${offset === null ? '' : `[${partition}]@${offset}`}`;
  return `${of} ${id} ${state} ${failedAt.toISOString()}${place}${key === null ? '' : ` ${key}`}: ${oneLine(reason)}`;
}

const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*/g, ' ');

type Bytes = string | null | { readonly base64: string };

/** Text where it is UTF-8, else base64. */
export function readable(bytes: Uint8Array | string | null | undefined): Bytes {
  if (bytes === null || bytes === undefined || typeof bytes === 'string') return bytes ?? null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

/** A consumer's dead letter with all that is known of it, as JSON can hold it. */
export function detailsOf(letter: ShownDeadLetter) {
  const headers = Object.entries(letter.headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.map(readable) : readable(value as Uint8Array | string | null),
  ]);
  return {
    ...ofConsumer(letter),
    record: {
      key: readable(letter.key),
      value: readable(letter.value),
      headers: Object.fromEntries(headers) as Record<string, Bytes | Bytes[]>,
      timestampMs: letter.timestampMs,
      isWhole: letter.isWhole,
      valueBytes: letter.valueBytes,
    },
    payload: letter.payload,
    scheduled: letter.scheduled,
    history: letter.history,
  };
}
