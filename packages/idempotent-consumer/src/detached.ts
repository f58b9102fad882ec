import { isHeaderValue, noHeaders } from './headers-by-name.ts';
import type { ConsumedRecord, HeaderValue } from './record.ts';

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
    if (found !== undefined) headers[name] = isHeaderValue(found) ? copy(found) : found.map(copy);
  }
  return { ...record, key: copy(key), value: copy(value), headers };
}
