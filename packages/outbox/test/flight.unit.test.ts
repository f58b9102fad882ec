import { expect, it } from 'vitest';
import type { PublishResult } from '../src/index.ts';
import { acknowledgedPrefix } from '../src/relay/acknowledged.ts';
import { flightsOf } from '../src/relay/flight.ts';
import type { OutboxRow } from '../src/relay/outbox-rows.ts';

const row = (bucket: number, seq: number, topic = 'orders'): OutboxRow => ({
  bucket,
  epoch: 1,
  seq: String(seq),
  createdAtS: 0,
  blocked: false,
  held: false,
  record: { id: `${seq}`, topic, key: 'k', value: '', headers: {} },
});
const seqs = (rows: readonly OutboxRow[]) => rows.map((one) => Number(one.seq));
const ok: PublishResult = { acknowledged: true };
const no = (message: string): PublishResult => ({ acknowledged: false, error: new Error(message) });

it('marks the contiguous acknowledged prefix of each bucket, and nothing behind the first failure', () => {
  const rows = [row(1, 1), row(1, 2), row(1, 3), row(2, 4), row(2, 5), row(3, 6)];
  const { rows: prefix, errors } = acknowledgedPrefix(rows, [ok, no('first'), ok, ok, ok, no('other')]);
  expect(seqs(prefix)).toEqual([1, 4, 5]);
  expect([...errors].map(([bucket, error]) => [bucket, error.message])).toEqual([
    [1, 'first'],
    [3, 'other'],
  ]);
});

it('gives each topic its own flight, in order, and never spreads a bucket over two', () => {
  const rows = [row(1, 1), row(1, 2, 'other'), row(1, 3), row(2, 4), row(2, 5), row(3, 6)];
  const flights = flightsOf(rows, 4);
  expect(flights.map((flight) => [flight.topic, seqs(flight.rows), flight.buckets])).toEqual([
    ['orders', [1, 3, 4, 5], [1, 2]],
    ['other', [2], [1]],
    ['orders', [6], [3]],
  ]);
  expect(flightsOf([], 4)).toEqual([]);
  expect(flightsOf([row(1, 1), row(1, 2), row(1, 3)], 2).map((flight) => seqs(flight.rows))).toEqual([
    [1, 2, 3],
  ]);
});
