import type { KafkaMessage } from 'kafkajs';
import { isHeadersByName, noHeaders } from '../headers-by-name.ts';
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
 * Own properties only, and nothing inherited, so that no name means anything. kafkajs gathers headers in an ordinary object:
 * where a name is that of an inherited property, such as `toString`, what it inherits stands among the values.
 */
function headersOf(headers: object | undefined): RecordHeaders {
  if (headers !== undefined && isHeadersByName(headers)) return headers;
  const own = noHeaders();
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
 * A record with bytes of its own, where those it has are part of something larger than `bytesMax`: a record that is
 * kept would keep all of it.
 */
export function detached(record: ConsumedRecord, bytesMax: number): ConsumedRecord {
  const isPart = (bytes: HeaderValue) =>
    bytes !== null && typeof bytes !== 'string' && bytes.buffer.byteLength > bytesMax;
  const { key, value } = record;
  // All of a record comes from the same answer.
  const sample = value ?? key ?? Object.values(record.headers).flat().find(Boolean) ?? null;
  if (!isPart(sample as HeaderValue)) return record;
  const copy = <V extends HeaderValue>(bytes: V): V | Uint8Array =>
    isPart(bytes) ? Buffer.from(bytes as Uint8Array) : bytes;
  const headers = noHeaders();
  for (const [name, found] of Object.entries(record.headers)) {
    if (found !== undefined) headers[name] = isValue(found) ? copy(found) : found.map(copy);
  }
  return { ...record, key: copy(key), value: copy(value), headers };
}
