import type { KafkaMessage } from 'kafkajs';
import type { ConsumedRecord, HeaderValue, RecordHeaders } from '../record.ts';

/** A message of kafkajs as a record. */
export function recordOf(topic: string, partition: number, message: KafkaMessage): ConsumedRecord {
  return {
    topic,
    partition,
    offset: message.offset,
    key: message.key ?? null,
    value: message.value ?? null,
    headers: headersOf(message.headers),
    timestampMs: timestampOf(message.timestamp),
  };
}

function timestampOf(timestamp: string | undefined): number | null {
  const ms = Number(timestamp);
  return timestamp === undefined || !Number.isSafeInteger(ms) || ms < 0 ? null : ms;
}

/**
 * Own properties only, and no prototype, so that no name means anything. kafkajs gathers headers in an ordinary object:
 * where a name is that of an inherited property, such as `toString`, what it inherits stands among the values.
 */
function headersOf(headers: object | undefined): RecordHeaders {
  if (headers !== undefined && Object.getPrototypeOf(headers) === null) return headers as RecordHeaders;
  const own: Record<string, HeaderValue | HeaderValue[]> = Object.create(null);
  for (const [name, found] of Object.entries(headers ?? {})) {
    if (!Array.isArray(found)) {
      if (isValue(found)) own[name] = found;
      continue;
    }
    const values = found.filter(isValue);
    const [only] = values;
    if (only !== undefined) own[name] = values.length === 1 && found.length === 2 ? only : values;
  }
  return own;
}

const isValue = (value: unknown): value is HeaderValue =>
  value === null || typeof value === 'string' || value instanceof Uint8Array;

/**
 * The same records with bytes of their own, where those they have are part of something larger than `bytesMax`: a
 * record that is kept would keep all of it.
 */
export function detached(record: ConsumedRecord, bytesMax: number): ConsumedRecord {
  const copy = (bytes: Uint8Array | null) =>
    bytes !== null && bytes.buffer.byteLength > bytesMax ? Buffer.from(bytes) : bytes;
  const copyValue = (value: HeaderValue) => (typeof value === 'string' ? value : copy(value));
  const headers: Record<string, HeaderValue | HeaderValue[]> = Object.create(null);
  for (const [name, value] of Object.entries(record.headers)) {
    if (value === undefined) continue;
    headers[name] = isValue(value) ? copyValue(value) : value.map(copyValue);
  }
  return { ...record, key: copy(record.key), value: copy(record.value), headers };
}
