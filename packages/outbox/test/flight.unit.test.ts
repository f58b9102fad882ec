import { expect, it } from 'vitest';
import type { PublishResult } from '../src/index.ts';
import { silentLogger } from '../src/logger.ts';
import { noMetrics } from '../src/metrics.ts';
import { acknowledgedPrefix } from '../src/relay/acknowledged.ts';
import { flightsOf } from '../src/relay/flight.ts';
import type { OutboxRow } from '../src/relay/outbox-rows.ts';
import { publishFlight } from '../src/relay/publishing.ts';

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

it('a flight tells of its topic only where it was sent: not in buckets that were lost meanwhile', async () => {
  const counts = { published: 0, marked: 0, fenced: 0, dropped: 0, deadLettered: 0 };
  const held = new Set([1, 3]);
  const deps = {
    publisher: {
      connect: async () => undefined,
      disconnect: async () => undefined,
      publish: async () => [ok, no('away')].slice(0, held.size),
    },
    marks: { mark: async () => undefined },
    held: { bury: async () => 0 },
    onPoison: 'skip' as const,
    leases: {
      relayId: 'me',
      holds: () => held.size > 0,
      epochOf: (bucket: number) => (held.has(bucket) ? 1 : 2),
    },
    logger: silentLogger,
    crashPoint: () => undefined,
    counts,
    metrics: noMetrics,
  };
  const [flight] = flightsOf([row(1, 1), row(2, 2), row(2, 3), row(3, 4)], 4);
  if (flight === undefined) throw new Error('nothing to publish');
  expect([...(await publishFlight(deps, flight, 1_000))].sort()).toEqual([
    [2, 'not sent'],
    [3, new Error('away')],
  ]);
  expect(counts).toMatchObject({ published: 1, dropped: 2 });
  held.clear();
  expect([...(await publishFlight(deps, flight, 1_000)).values()]).toEqual(Array(3).fill('not sent'));
});
