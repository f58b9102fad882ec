import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConsumedRecord } from '../src/record.ts';
import { hashOf, headersAsJson, packHeaders, unpackHeaders } from '../src/retries/stored-record.ts';
import { anyRecord, gathered, plain } from './any-record.ts';

const storable = (text: string) => text.isWellFormed() && !text.includes('\u0000');

describe('a record that is stored', () => {
  it('has the same headers again, whatever their names and values', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        const headers = unpackHeaders(packHeaders(record.headers));
        expect(plain({ ...record, headers })).toEqual(plain(record));
        expect(hashOf({ ...record, headers })).toEqual(hashOf(record));
      }),
      {
        examples: [
          [
            recordWith([
              ['__proto__', null],
              ['__proto__', Buffer.of(0)],
              ['constructor', Buffer.from('x')],
            ]),
          ],
          [
            recordWith([
              ['', null],
              ['', null],
            ]),
          ],
          [
            recordWith([
              ['a\u0000', Buffer.from('1')],
              ['a\\0', Buffer.from('2')],
            ]),
          ],
        ],
      },
    );
  });

  it('has another hash than any other record', () => {
    fc.assert(
      fc.property(
        anyRecord,
        anyRecord,
        fc.constantFrom('key', 'value', 'headers', 'timestampMs', 'all'),
        (a, b, part) => {
          const other = part === 'all' ? b : { ...a, [part]: b[part] };
          const isSame = JSON.stringify(plain(a)) === JSON.stringify(plain(other));
          expect(Buffer.from(hashOf(a)).equals(hashOf(other))).toBe(isSame);
        },
      ),
    );
  });

  it('is shown with text that PostgreSQL can hold', () => {
    fc.assert(
      fc.property(anyRecord, ({ headers }) => {
        const json = headersAsJson(headers);
        const names = Object.keys(headers).map((name) => name.replaceAll('\u0000', '\\0'));
        expect(Object.keys(json).toSorted()).toEqual([...new Set(names)].toSorted());
        JSON.stringify(json, (name, value) => {
          expect(storable(name)).toBe(true);
          if (typeof value === 'string') expect(storable(value)).toBe(true);
          return value;
        });
      }),
    );
  });

  it('may have tens of thousands of headers', () => {
    const pairs = Array.from({ length: 20_000 }, (_, i): [string, null] => [`h${i % 10_000}`, null]);
    const record = recordWith(pairs);
    const headers = unpackHeaders(packHeaders(record.headers));
    expect(Object.keys(headers)).toHaveLength(10_000);
    expect(plain({ ...record, headers })).toEqual(plain(record));
  });
});

function recordWith(pairs: Parameters<typeof gathered>[0]): ConsumedRecord {
  const none = { topic: 't', partition: 0, offset: '0', key: null, value: null, timestampMs: null };
  return { ...none, headers: gathered(pairs) };
}
