import { describe, expect, it } from 'vitest';
import { chunksOf, recordBytes } from '../src/chunks.ts';
import type { ConsumedRecord } from '../src/record.ts';

const record = (offset: number, bytes: number): ConsumedRecord => ({
  topic: 't',
  partition: 0,
  offset: String(offset),
  key: null,
  value: Buffer.alloc(bytes),
  headers: {},
  timestampMs: null,
});
const cut = (sizes: number[], chunkSizeMax: number, chunkBytesMax: number) =>
  [
    ...chunksOf(
      sizes.map((bytes, offset) => record(offset, bytes)),
      { chunkSizeMax, chunkBytesMax },
    ),
  ].map((chunk) => chunk.map((one) => one.offset).join());

describe('chunksOf', () => {
  it('cuts by count and by bytes, in order, and leaves none out', () => {
    expect(cut([1, 1, 1, 1, 1], 2, 100)).toEqual(['0,1', '2,3', '4']);
    expect(cut([40, 60, 1, 99, 2], 9, 100)).toEqual(['0,1', '2,3', '4']);
    expect(cut([], 2, 100)).toEqual([]);
  });

  it('gives a record that is larger than a chunk may be a chunk of its own', () => {
    expect(cut([1, 500, 1, 1], 9, 100)).toEqual(['0', '1', '2,3']);
  });

  it('counts keys, values and the names and values of all headers', () => {
    const headers = { a: Buffer.alloc(3), ä: [null, Buffer.alloc(2), 'xy'] };
    expect(recordBytes({ ...record(0, 5), key: Buffer.alloc(7), headers })).toBe(7 + 5 + (1 + 3) + 3 * 2 + 4);
  });
});
