import { expect, it } from 'vitest';
import { createStartsToNote } from '../src/intake/chunk-starts.ts';
import type { ConsumedRecord } from '../src/record.ts';
import type { RecordChunk } from '../src/source.ts';

function chunk(partition: number, size: number, { signal } = new AbortController()): RecordChunk {
  const record: ConsumedRecord = {
    topic: 't',
    partition,
    offset: '0',
    key: null,
    value: null,
    headers: {},
    timestampMs: 0,
  };
  const rest = Array.from({ length: size - 1 }, () => record);
  return { records: [record, ...rest], signal, commitOffsets: async () => true };
}

/** Whether each of so many chunks of a partition is noted; all of them are accepted. */
function noted(starts: ReturnType<typeof createStartsToNote>, count: number, one: () => RecordChunk) {
  return Array.from({ length: count }, () => {
    const next = one();
    const isNoted = starts.has(next);
    starts.accepted(next);
    return isNoted;
  });
}

const first20 = Array.from({ length: 25 }, (_, i) => i < 20);

it('the chunks are noted with which a partition begins, each partition by itself', () => {
  const starts = createStartsToNote();
  expect(noted(starts, 25, () => chunk(0, 100))).toEqual(first20);
  expect(noted(starts, 25, () => chunk(1, 100))).toEqual(first20);
  expect(noted(starts, 25, () => chunk(0, 100))).toEqual(first20.map(() => false));
});

it('a chunk larger than what is looked through behind a beginning is noted always', () => {
  const starts = createStartsToNote();
  expect(noted(starts, 25, () => chunk(0, 501))).toEqual(first20.map(() => true));
  expect(starts.has(chunk(0, 500))).toBe(false);
});

it('a chunk that was not accepted does not count', () => {
  const starts = createStartsToNote();
  for (let i = 0; i < 30; i++) expect(starts.has(chunk(0, 100))).toBe(true);
});

it('a partition begins anew with each membership', () => {
  const starts = createStartsToNote();
  for (const membership of [new AbortController(), new AbortController()]) {
    expect(noted(starts, 25, () => chunk(0, 100, membership))).toEqual(first20);
    membership.abort();
  }
});
