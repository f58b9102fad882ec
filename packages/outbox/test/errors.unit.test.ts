import { expect, it } from 'vitest';
import { asError } from '../src/errors.ts';

it.each([
  ['a text', 'gone', 'gone'],
  ['a symbol', Symbol('gone'), 'Symbol(gone)'],
  ['nothing', undefined, 'undefined'],
  ['an object without a prototype', Object.create(null), '[Object: null prototype] {}'],
  [
    'an object that cannot be a text',
    {
      toString: () => {
        throw new Error('no text');
      },
    },
    '{ toString: [Function: toString] }',
  ],
])('%s that was thrown becomes an error with a message', (_, thrown, message) => {
  expect(asError(thrown)).toMatchObject({ message });
});

it('an error stays what it is', () => {
  const error = new TypeError('gone');
  expect(asError(error)).toBe(error);
});
