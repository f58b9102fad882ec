import { expect, it } from 'vitest';
import { inTurn, ratios } from '../src/rounds.ts';

it('rounds are interleaved, and every second one runs the other way', async () => {
  const order: string[] = [];
  const variant = (name: string) => async () => order.push(name);
  const results = await inTurn(3, { a: variant('a'), b: variant('b') }, () => undefined);
  expect(order.join('')).toBe('abbaab');
  expect(results).toEqual({ a: [1, 4, 5], b: [2, 3, 6] });
});

it('ratios are those of each round', () => {
  expect(ratios([1, 6], [2, 3])).toEqual([0.5, 2]);
});
