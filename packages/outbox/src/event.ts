import { asError, OutboxError } from './errors.ts';
import { jsonbBytes } from './jsonb-bytes.ts';
import { uuidV7 } from './uuid.ts';

/** An event as it is written to the outbox. */
export interface OutboxEvent {
  /**
   * UUID, unique to the event; consumers deduplicate on it, so carry it in a header or in the payload. Without one a
   * UUID version 7 is made, returned by `add`, and published as the header `id`.
   */
  readonly id?: string;
  /** Kafka topic; must exist before the relay can publish to it. */
  readonly topic: string;
  /** Partition key: decides bucket and Kafka partition. All events of one aggregate carry the same. */
  readonly key: string;
  /** What order is promised for, usually the aggregate's id (the key); 1,000 bytes at most. Column `aggregateid`. */
  readonly orderingKey?: string;
  readonly type: string;
  /** Kind of the aggregate (the topic); 1,000 bytes at most. Column `aggregatetype`, for readers that know Debezium's names. */
  readonly aggregateType?: string;
  /** JSON value, published as PostgreSQL's JSON text; or bytes, published as they are. */
  readonly payload: unknown;
  /** Kafka headers, published as they are. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** W3C trace context, as its two headers. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** What an event becomes in the table. */
export interface OutboxColumns {
  readonly id: string;
  readonly topic: string;
  readonly key: string;
  readonly type: string;
  readonly aggregateType: string;
  readonly orderingKey: string;
  /** JSON text; `null` where there are bytes. */
  readonly payload: string;
  readonly value: Uint8Array | null;
  /** JSON text. */
  readonly headers: string;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** What Kafka accepts; a name that it refuses could never be published. */
const topicName = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;
/** Both name an aggregate in an index, whose entries have less than 2,700 bytes in PostgreSQL. */
const indexedBytesMax = 1_000;
/** JSON escapes that jsonb has no text for: U+0000 and halves of surrogate pairs. */
const noText = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/**
 * The event as columns. Refuses what the database or the broker would refuse later, when the transaction is aborted or
 * long over.
 * @throws OutboxError `OUTBOX_EVENT_INVALID` naming the field, `OUTBOX_EVENT_TOO_LARGE`
 */
export function columnsOf(
  event: OutboxEvent,
  options: { recordBytesMax: number; traceContext?: TraceContext | undefined },
): OutboxColumns {
  const id = event.id ?? uuidV7();
  const { topic, key, type, orderingKey = key, aggregateType = topic } = event;
  if (!uuid.test(id)) throw invalid(id, 'id', 'is not a UUID');
  if (typeof topic !== 'string' || !topicName.test(topic))
    throw invalid(id, 'topic', 'is not a name that Kafka accepts');
  for (const [field, text] of Object.entries({ key, type, orderingKey, aggregateType })) {
    if (typeof text !== 'string') throw invalid(id, field, 'is not a string');
    if (text.includes('\0')) throw invalid(id, field, 'contains U+0000');
  }
  for (const [field, text] of Object.entries({ orderingKey, aggregateType })) {
    if (Buffer.byteLength(text) > indexedBytesMax)
      throw invalid(id, field, `has more than ${indexedBytesMax} bytes`);
  }
  const { payload, value } = payloadOf(id, event.payload);
  const headers = headersOf(id, event, options.traceContext);
  const bytes = Buffer.byteLength(key) + (value?.length ?? jsonbBytes(payload)) + Buffer.byteLength(headers);
  if (bytes > options.recordBytesMax) {
    throw new OutboxError(
      'OUTBOX_EVENT_TOO_LARGE',
      `event ${id}: ${bytes} bytes as a record, ${options.recordBytesMax} are allowed`,
    );
  }
  return { id, topic, key, type, aggregateType, orderingKey, payload, value, headers };
}

function payloadOf(id: string, payload: unknown): Pick<OutboxColumns, 'payload' | 'value'> {
  if (payload instanceof Uint8Array) return { payload: 'null', value: Buffer.from(payload) };
  const text = jsonOf(id, payload);
  if (text === undefined) throw invalid(id, 'payload', 'is not a JSON value');
  if (noText.test(text)) throw invalid(id, 'payload', 'contains U+0000 or half of a surrogate pair');
  return { payload: text, value: null };
}

function jsonOf(id: string, payload: unknown): string | undefined {
  try {
    return JSON.stringify(payload);
  } catch (thrown) {
    throw invalid(id, 'payload', `is not a JSON value: ${asError(thrown).message}`); // a BigInt, or a circle
  }
}

/** As JSON text. What the caller says wins. */
function headersOf(id: string, event: OutboxEvent, traceContext: TraceContext | undefined): string {
  const made = event.id === undefined ? { id } : {};
  const trace = event.headers?.traceparent === undefined ? traceContext : undefined;
  const headers = { ...made, ...trace, ...event.headers };
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') throw invalid(id, `headers.${name}`, 'is not a string');
  }
  const text = JSON.stringify(headers);
  if (noText.test(text)) throw invalid(id, 'headers', 'contain U+0000 or half of a surrogate pair');
  return text;
}

function invalid(id: string, field: string, problem: string): OutboxError {
  return new OutboxError('OUTBOX_EVENT_INVALID', `event ${String(id)}: ${field} ${problem}`);
}
