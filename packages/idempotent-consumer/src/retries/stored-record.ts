import { createHash } from 'node:crypto';
import { addHeader, noHeaders } from '../headers-by-name.ts';
import { storableText } from '../reason.ts';
import type { ConsumedRecord, HeaderValue, RecordHeaders } from '../record.ts';

/** Bytes as pg takes them. */
export const bytesOf = (bytes: Uint8Array | null): Uint8Array | null =>
  bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Headers as bytes that give them back as they were, whatever their names and values: [name, value] pairs. */
export function packHeaders(headers: RecordHeaders): Uint8Array {
  return Buffer.from(JSON.stringify(pairsOf(headers)));
}

/** What {@link packHeaders} packed; values are bytes or null. */
export function unpackHeaders(packed: Uint8Array): RecordHeaders {
  const pairs: readonly (readonly [string, string | null])[] = JSON.parse(Buffer.from(packed).toString());
  const headers = noHeaders();
  for (const [name, base64] of pairs)
    addHeader(headers, name, base64 === null ? null : Buffer.from(base64, 'base64'));
  return headers;
}

const pairsOf = (headers: RecordHeaders): [string, string | null][] =>
  Object.entries(headers).flatMap(([name, values]) =>
    listOf(values).map((value): [string, string | null] => [name, base64Of(value)]),
  );

const listOf = (values: RecordHeaders[string]): readonly HeaderValue[] => {
  if (values === undefined) return [];
  return isList(values) ? values : [values];
};

const isList = (values: NonNullable<RecordHeaders[string]> | null): values is readonly HeaderValue[] =>
  Array.isArray(values);

const base64Of = (value: HeaderValue): string | null =>
  value === null ? null : Buffer.from(value as Uint8Array).toString('base64');

/**
 * Tells a record apart from another that came to stand at its place (a topic made anew, another cluster): SHA-256 of
 * key, value, headers and timestamp, each with its length.
 */
export function hashOf(
  record: Pick<ConsumedRecord, 'key' | 'value' | 'headers' | 'timestampMs'>,
): Uint8Array {
  const hash = createHash('sha256');
  const parts = [
    bytesOf(record.key),
    bytesOf(record.value),
    packHeaders(record.headers),
    Buffer.from(String(record.timestampMs)),
  ];
  for (const part of parts) {
    hash.update(part === null ? '-' : `${part.length}:`);
    if (part !== null) hash.update(part);
  }
  return hash.digest();
}

/** A header's value as JSON. */
export type HeaderJson = string | null | { base64: string };

/**
 * Headers for people, as JSON: text where a value is UTF-8 that PostgreSQL can hold, else `{ "base64": … }`; a list
 * where a name repeats. Names are made storable, so two may fall together: then the last one stands.
 */
export function headersAsJson(headers: RecordHeaders): Record<string, HeaderJson | HeaderJson[]> {
  const json: Record<string, HeaderJson | HeaderJson[]> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    json[storableText(name)] = isList(value) ? value.map(headerAsJson) : headerAsJson(value);
  }
  return json;
}

/** What {@link headersAsJson} made JSON of, for letters of versions that kept nothing better; names may have changed. */
export function headersOfJson(
  json: Readonly<Record<string, HeaderJson | readonly HeaderJson[]>>,
): RecordHeaders {
  const headers = noHeaders();
  for (const [name, value] of Object.entries(json))
    headers[name] = isJsonList(value) ? value.map(headerOfJson) : headerOfJson(value);
  return headers;
}

const isJsonList = (value: HeaderJson | readonly HeaderJson[]): value is readonly HeaderJson[] =>
  Array.isArray(value);

function headerOfJson(value: HeaderJson): HeaderValue {
  if (value === null) return null;
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.base64, 'base64');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function headerAsJson(value: HeaderValue): HeaderJson {
  if (value === null) return null;
  const bytes = Buffer.from(value as Uint8Array);
  try {
    const text = utf8.decode(bytes);
    if (!text.includes('\u0000')) return text;
  } catch {
    // Not UTF-8, so not text: kept as bytes.
  }
  return { base64: bytes.toString('base64') };
}
