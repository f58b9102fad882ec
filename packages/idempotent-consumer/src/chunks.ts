import type { ConsumedRecord, HeaderValue } from './record.ts';

/** How large a chunk may be. */
export interface ChunkLimits {
  /** At most so many records. */
  readonly chunkSizeMax: number;
  /** At most so many bytes of keys, values and headers; a record that is larger by itself comes alone. */
  readonly chunkBytesMax: number;
}

/** Consecutive records, at least one. */
export type Records = [ConsumedRecord, ...ConsumedRecord[]];

/** Cuts consecutive records of one partition into chunks: in order, none left out. Reads no further than it was asked. */
export function* chunksOf(records: Iterable<ConsumedRecord>, limits: ChunkLimits): Generator<Records> {
  let chunk: Records | undefined;
  let bytes = 0;
  for (const record of records) {
    const size = recordBytes(record);
    if (chunk !== undefined && chunk.length < limits.chunkSizeMax && bytes + size <= limits.chunkBytesMax) {
      chunk.push(record);
      bytes += size;
    } else {
      if (chunk !== undefined) yield chunk;
      chunk = [record];
      bytes = size;
    }
  }
  if (chunk !== undefined) yield chunk;
}

/** The bytes of a record's key, value and headers. */
export function recordBytes({ key, value, headers }: ConsumedRecord): number {
  let bytes = (key?.byteLength ?? 0) + (value?.byteLength ?? 0);
  for (const name of Object.keys(headers)) {
    const found = headers[name];
    if (!isList(found)) bytes += headerBytes(name, found);
    else for (const one of found) bytes += headerBytes(name, one);
  }
  return bytes;
}

const headerBytes = (name: string, value: HeaderValue | undefined) =>
  Buffer.byteLength(name) + (typeof value === 'string' ? Buffer.byteLength(value) : (value?.byteLength ?? 0));

/** `Array.isArray` does not know read-only arrays. */
const isList = (values: unknown): values is readonly HeaderValue[] => Array.isArray(values);
