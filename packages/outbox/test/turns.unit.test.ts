import { expect, it } from 'vitest';
import type { Found, OutboxRow, ReadRequest } from '../src/relay/outbox-rows.ts';
import { createTurns } from '../src/relay/turns.ts';

const settings = { batchSizeMax: 500, inFlightMax: 640 };
const requests: ReadRequest[] = [0, 1, 2, 3].map((bucket) => ({ bucket, topics: [], only: false }));
const buckets = requests.map(({ bucket }) => bucket);
/** What a read found: rows of these buckets, of all requests but the last `unanswered`. */
const found = (inTurn: readonly ReadRequest[], rowsOf: readonly number[], unanswered = 0): Found => ({
  rows: rowsOf.map((bucket) => ({ bucket }) as OutboxRow),
  answered: inTurn.slice(0, inTurn.length - unanswered),
});
const order = (inTurn: readonly ReadRequest[]) => inTurn.map(({ bucket }) => bucket);

it('whoever had no turn comes first the next time', () => {
  const turns = createTurns(settings, 1_000);
  const first = turns.inTurn(requests);
  expect(order(first)).toEqual([0, 1, 2, 3]);
  turns.taken(first, found(first, [0, 1], 2), 500);
  const second = turns.inTurn(requests);
  expect(order(second)).toEqual([2, 3, 0, 1]);
  turns.taken(second, found(second, [2, 3, 0], 1), 500);
  expect(order(turns.inTurn(requests))).toEqual([1, 2, 3, 0]);
});

it('one bucket with a backlog is read in whole batches, many in parts', () => {
  const turns = createTurns(settings, 1_000);
  expect(turns.limitEach(buckets)).toBe(500);
  turns.taken(requests, found(requests, [0]), 1);
  expect(turns.limitEach(buckets)).toBe(500);
  turns.taken(requests, found(requests, [0, 1, 2, 3]), 1);
  expect(turns.limitEach(buckets)).toBe(250);
  // Not those that others own now, and never less than what all buckets may have in memory together.
  expect(turns.limitEach([0])).toBe(500);
  expect(createTurns(settings, 8).limitEach(buckets)).toBe(10);
  turns.taken(requests, found(requests, []), 250);
  expect(turns.limitEach(buckets)).toBe(500);
});
