import { OutboxError } from './errors.ts';

/** An event as it is written to the outbox. */
export interface OutboxEvent {
  /** UUID, unique to the event; consumers deduplicate on it, so carry it in a header or in the payload. */
  readonly id: string;
  /** Kafka topic; must exist before the relay can publish to it. */
  readonly topic: string;
  /** Partition key: decides bucket and Kafka partition. All events of one aggregate carry the same. */
  readonly key: string;
  readonly type: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  /** JSON value, published as JSON text unless `value` is given. */
  readonly payload: unknown;
  /** Bytes to be published instead of the payload, for formats that are not JSON. */
  readonly value?: Uint8Array;
  /** Kafka headers, published as they are. */
  readonly headers?: Readonly<Record<string, string>>;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** What Kafka accepts; a name that it refuses could never be published. */
const topicName = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;

/**
 * Refuses what the database or the broker would refuse later, when the transaction is aborted or long over.
 * @throws OutboxError `OUTBOX_EVENT_INVALID` naming the field
 */
export function assertEvent(event: OutboxEvent): void {
  if (!uuid.test(event.id)) throw invalid(event, 'id', 'is not a UUID');
  if (!topicName.test(event.topic)) throw invalid(event, 'topic', 'is not a name that Kafka accepts');
  for (const field of ['key', 'type', 'aggregateType', 'aggregateId'] as const) {
    if (typeof event[field] !== 'string') throw invalid(event, field, 'is not a string');
    if (event[field].includes('\0')) throw invalid(event, field, 'contains U+0000');
  }
  for (const [name, value] of Object.entries(event.headers ?? {})) {
    if (typeof value !== 'string') throw invalid(event, `headers.${name}`, 'is not a string');
  }
}

/** @throws OutboxError `OUTBOX_EVENT_INVALID` when the payload has no JSON text */
export function payloadText(event: OutboxEvent): string {
  const text = JSON.stringify(event.payload);
  if (text === undefined) throw invalid(event, 'payload', 'is not a JSON value');
  return text;
}

function invalid(event: OutboxEvent, field: string, problem: string): OutboxError {
  return new OutboxError('OUTBOX_EVENT_INVALID', `event ${String(event.id)}: ${field} ${problem}`);
}
