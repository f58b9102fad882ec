import fc from 'fast-check';
import type { ConsumedRecord, HeaderValue, RecordHeaders } from '../src/record.ts';

/**
 * Records of the domain that Kafka can carry, as a source delivers them: key, value and header values are any bytes or
 * null; a name is any text, may be empty, may repeat; bytes of a name that are no UTF-8 have become U+FFFD. A time-stamp
 * is not there (-1 on the topic) or a number from 0 on.
 */
const bytes = (maxLength: number) =>
  fc.oneof(
    fc.uint8Array({ maxLength }).map((array) => Buffer.from(array)),
    fc.string({ unit: 'binary', maxLength }).map((text) => Buffer.from(text)),
    fc
      .constantFrom('', '\u0000', 'null', '[]', '{"base64":"AA=="}', '\ufeff', '\\0')
      .map((text) => Buffer.from(text)),
  );
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 4 });

const headerName = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('type', 'id', 'a', 'b') },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        '',
        ' ',
        '__proto__',
        'constructor',
        'toString',
        'hasOwnProperty',
        'length',
        'then',
        'toJSON',
        '0',
        '7',
        '-1',
      ],
      ...['a\u0000', 'a\\0', '\ufffd', '\ufffd\ufffd', 'naïve', '💥', '"', "'", '{}', '\n'],
    ),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed()) },
);

const headerValue: fc.Arbitrary<HeaderValue> = orNull(bytes(40));

/** [name, value] pairs as they stand in a record, gathered by name as clients do. */
export const gathered = (pairs: readonly (readonly [string, HeaderValue])[]): RecordHeaders => {
  const headers: Record<string, HeaderValue | HeaderValue[]> = Object.create(null);
  for (const [name, value] of pairs) {
    const there = headers[name];
    if (there === undefined) headers[name] = value;
    else if (Array.isArray(there)) there.push(value);
    else headers[name] = [there, value];
  }
  return headers;
};

const anyHeaders = fc.array(fc.tuple(headerName, headerValue), { maxLength: 12 }).map(gathered);

export const anyRecord: fc.Arbitrary<ConsumedRecord> = fc.record({
  topic: fc.constant('any.records'),
  partition: fc.constant(0),
  offset: fc.constant('0'),
  key: orNull(bytes(60)),
  value: orNull(bytes(200)),
  headers: anyHeaders,
  timestampMs: orNull(
    fc.oneof(fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER), fc.integer({ min: 0, max: 2 ** 42 })),
  ),
});

/** A record's parts in one form, for comparing: whatever kind of bytes they are, and with the order of names. */
export const plain = ({
  key,
  value,
  headers,
  timestampMs,
}: Omit<ConsumedRecord, 'topic' | 'partition' | 'offset'>) => ({
  key: hex(key),
  value: hex(value),
  headers: Object.entries(headers).map(([name, values]) => [
    name,
    Array.isArray(values) ? values.map(hex) : hex(values as HeaderValue),
  ]),
  timestampMs,
});

const hex = (value: HeaderValue): string | null =>
  value === null ? null : Buffer.from(value as Uint8Array).toString('hex');
