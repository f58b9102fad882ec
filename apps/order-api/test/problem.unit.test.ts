import { describe, expect, it } from 'vitest';
import { apiErrorOf } from '../src/problem.ts';
import { correlationIdOf, traceparentOf } from '../src/tracing-headers.ts';

const withCode = (code: string, message = 'secret detail') => Object.assign(new Error(message), { code });

describe('what a client is told of an error', () => {
  it.each([
    withCode('57014'),
    withCode('55P03'),
    withCode('53300'),
    withCode('08006'),
    withCode('57P01'),
    withCode('25P03'),
    withCode('40P01'),
    withCode('ECONNREFUSED'),
    withCode('DB_COMMIT_UNKNOWN'),
    new Error('timeout exceeded when trying to connect'),
    new Error('Connection terminated unexpectedly'),
    new Error('wrapped', { cause: withCode('ECONNRESET') }),
    new AggregateError([withCode('ECONNREFUSED')], ''),
  ])('503 with Retry-After if the database cannot answer: %s', (error) => {
    const told = apiErrorOf(error);
    expect(told).toMatchObject({ code: 'unavailable', statusCode: 503, headers: { 'retry-after': '1' } });
    expect(told.detail).not.toContain('secret');
  });

  it.each([
    withCode('23505'),
    withCode('42P01'),
    new TypeError('x is undefined'),
    'a string',
    null,
    undefined,
  ])('500 and nothing else if we are wrong: %s', (error) => {
    const told = apiErrorOf(error);
    expect(told).toMatchObject({ code: 'internal_error', statusCode: 500, detail: undefined });
  });
});

describe('tracing headers', () => {
  it('takes a sane correlation id and replaces any other', () => {
    expect(correlationIdOf({ 'x-correlation-id': 'req-1:a/b' })).toBe('req-1:a/b');
    for (const bad of [undefined, '', 'a b', 'a\nb', 'ä', '"', 'x'.repeat(129), ['a', 'b']]) {
      expect(correlationIdOf({ 'x-correlation-id': bad })).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('takes a valid traceparent only', () => {
    const valid = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect(traceparentOf({ traceparent: valid })).toBe(valid);
    const bad = [
      undefined,
      'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      '00-00000000000000000000000000000000-b7ad6b7169203331-01',
      '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
      `${valid}-extra`,
      valid.toUpperCase(),
    ];
    for (const one of bad) expect(traceparentOf({ traceparent: one })).toBeUndefined();
  });
});
