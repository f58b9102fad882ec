import { describe, expect, it } from 'vitest';
import { eventIdProblem, sortRecords } from '../src/intake/sort-records.ts';
import type { ConsumedRecord, Decoded } from '../src/record.ts';
import { headersAsJson } from '../src/retries/stored-record.ts';

const record = (offset: number): ConsumedRecord => ({
  topic: 't',
  partition: 0,
  offset: String(offset),
  key: null,
  value: null,
  headers: {},
  timestampMs: null,
});

describe('records of a chunk', () => {
  it('are told apart in order; what cannot be an event is invalid and never an exception', async () => {
    const decoded: (() => Decoded<string>)[] = [
      () => ({ kind: 'event', id: 'a', event: 'A' }),
      () => ({ kind: 'skip' }),
      () => ({ kind: 'invalid', reason: 'no', eventId: 'claimed' }),
      () => ({ kind: 'invalid', reason: 'no', eventId: '\u0000' }),
      () => ({ kind: 'event', id: '', event: 'without id' }),
      () => {
        throw 'not even an Error';
      },
      () => ({ kind: 'event', id: 'b', event: 'B' }),
    ];
    const records = decoded.map((_, offset) => record(offset));
    const sorted = await sortRecords(records, {
      decode: ({ offset }) => (decoded[Number(offset)] as () => Decoded<string>)(),
    });
    expect(sorted.events.map(({ id, event, record: { offset } }) => [id, event, offset])).toEqual([
      ['a', 'A', '0'],
      ['b', 'B', '6'],
    ]);
    expect(
      sorted.invalid.map(({ eventId, reason, record: { offset } }) => [offset, eventId, reason]),
    ).toEqual([
      ['2', 'claimed', 'no'],
      ['3', null, 'no'],
      ['4', null, 'event id is empty'],
      ['5', null, 'decode failed: not even an Error'],
    ]);
    expect(sorted.skipped).toBe(1);
  });

  it('an event id can be stored and told from every other', () => {
    for (const id of ['a', '0198c3f0-…', 'ö'.repeat(256)]) expect(eventIdProblem(id)).toBeUndefined();
    for (const id of [undefined, null, 7, '', 'a\u0000', '\ud800', 'x'.repeat(257)]) {
      expect(eventIdProblem(id)).toBeTypeOf('string');
    }
  });
});

describe('headers as JSON', () => {
  it('keep every value: text as text, other bytes as base64, repeated names as lists', () => {
    const headers = {
      text: 'a',
      bytes: Buffer.from('grün'),
      bom: Buffer.from([0xef, 0xbb, 0xbf, 0x61]),
      raw: Buffer.from([0xff, 0xfe]),
      nul: Buffer.from([0]),
      many: [Buffer.from('x'), 'y', Buffer.from([0xff])],
      absent: undefined,
      none: null,
      ['__proto__']: 'safe',
    };
    expect(headersAsJson(headers)).toEqual({
      text: 'a',
      bytes: 'grün',
      bom: '\ufeffa',
      raw: { base64: '//4=' },
      nul: { base64: 'AA==' },
      many: ['x', 'y', { base64: '/w==' }],
      none: null,
      ['__proto__']: 'safe',
    });
  });
});
