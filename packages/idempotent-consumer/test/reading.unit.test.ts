import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EventIdentity, inboxId, readRecord, sortRecords } from '../src/intake/sort-records.ts';
import type { Decoded } from '../src/record.ts';
import { anyRecord } from './any-record.ts';
import { thrownValues } from './thrown-values.ts';

const storable = (text: string) => text.isWellFormed() && !text.includes('\u0000');
const [record] = fc.sample(anyRecord, 1) as [Parameters<typeof readRecord>[0]];

describe('a record that is read', () => {
  /** What a decoder may answer, or throw; at once or later. */
  const anyAnswer = fc.oneof(
    fc.record({ kind: fc.constant('event'), id: fc.anything(), event: fc.anything(), source: fc.anything() }),
    fc.record({ kind: fc.constant('event'), id: fc.string({ unit: 'binary' }), event: fc.anything() }),
    fc.record({ kind: fc.constant('invalid'), reason: fc.anything(), eventId: fc.anything() }),
    fc.record({ kind: fc.anything() }, { requiredKeys: [] }),
    fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }),
    fc.constant({ kind: 'skip' }),
  );
  // Not every value can be drawn: fast-check looks into what it draws.
  const anyValue = fc.oneof(
    { weight: 4, arbitrary: anyAnswer.map((answer) => () => answer as unknown) },
    { weight: 1, arbitrary: fc.nat(thrownValues.length - 1).map((i) => () => thrownValues[i]?.value) },
  );
  const how = fc.constantFrom('answers', 'throws', 'resolves', 'rejects', 'thenable');
  const decodeBy = (way: string, answer: unknown) => (): Decoded<unknown> | Promise<Decoded<unknown>> => {
    if (way === 'throws') throw answer;
    if (way === 'resolves') return Promise.resolve(answer) as Promise<Decoded<unknown>>;
    if (way === 'rejects') return Promise.reject(answer);
    // biome-ignore lint/suspicious/noThenProperty: some libraries have promises of their own
    if (way === 'thenable') return { then: (done: (value: unknown) => void) => done(answer) } as never;
    return answer as Decoded<unknown>;
  };

  it('is an event, is skipped or is invalid, whatever it is and whatever decode and orderingKey do', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(anyRecord, anyValue, how), { maxLength: 4 }),
        fc.constantFrom<EventIdentity | undefined>(undefined, 'id', 'topic', 'source'),
        fc.option(fc.tuple(anyValue, fc.boolean()), { nil: undefined }),
        async (cases, identity, key) => {
          const records = cases.map(([one]) => one);
          let next = 0;
          const sorted = await sortRecords(records, {
            identity,
            decode: () => {
              const [, answer, way] = cases[next++] as (typeof cases)[number];
              return decodeBy(way, answer())();
            },
            orderingKey:
              key &&
              (() => {
                if (key[1]) throw key[0]();
                return key[0]() as string;
              }),
          });
          expect(sorted.events.length + sorted.invalid.length + sorted.skipped).toBe(records.length);
          for (const { id, orderingKey } of sorted.events) {
            expect(id.length > 0 && id.length <= 512 && storable(id)).toBe(true);
            expect(orderingKey.length > 0 && storable(orderingKey)).toBe(true);
          }
          for (const { reason, loggedReason, eventId } of sorted.invalid) {
            expect(storable(reason) && storable(loggedReason) && reason !== '').toBe(true);
            expect(eventId === null || storable(eventId)).toBe(true);
          }
        },
      ),
    );
  });

  it.each([undefined, null, 5, 'event', {}, { kind: 'evnet' }, [], () => undefined])(
    'is invalid if decode answers %j',
    async (answer) => {
      for (const way of ['answers', 'resolves']) {
        const read = await readRecord(record, { decode: decodeBy(way, answer) });
        expect(read).toMatchObject({ reason: 'decode gave an answer of an unknown kind' });
      }
    },
  );

  it('is an event if decode is asynchronous, and invalid if it rejects', async () => {
    const event = { kind: 'event', id: 'a', event: 'A' };
    for (const way of ['resolves', 'thenable'])
      expect(await readRecord(record, { decode: decodeBy(way, event) })).toMatchObject({
        id: 'a',
        event: 'A',
      });
    const read = await readRecord(record, { decode: decodeBy('rejects', new Error('registry')) });
    expect(read).toMatchObject({
      reason: 'decode failed: Error: registry',
      loggedReason: 'decode failed (Error)',
    });
  });

  it.each(thrownValues)(
    'is invalid, with a readable reason, if decode throws $what',
    async ({ value, reason }) => {
      for (const way of ['throws', 'rejects']) {
        const read = await readRecord(record, { decode: decodeBy(way, value) });
        expect(read).toMatchObject({ reason: expect.stringMatching(reason) });
      }
    },
  );

  it('is invalid, and decode is not blamed, if orderingKey throws or gives no text', async () => {
    const decode = () => ({ kind: 'event', id: 'a', event: 'A' }) as const;
    const orderingKey = () => {
      throw new TypeError('no customer');
    };
    expect(await readRecord(record, { decode, orderingKey })).toMatchObject({
      reason: 'orderingKey failed: TypeError: no customer',
    });
    expect(await readRecord(record, { decode, orderingKey: () => 5 as never })).toMatchObject({
      reason: 'orderingKey failed: TypeError: the ordering key is not a text',
    });
    expect(await readRecord(record, { decode, orderingKey: () => undefined as never })).toMatchObject({
      orderingKey: 'event:a',
    });
  });

  it('gives the log nothing of its bytes when a parser quotes them', async () => {
    const secret = { ...record, value: Buffer.from('{"card": 4111111111111111') };
    const decode = (one: typeof record): Decoded<unknown> => {
      const { id } = JSON.parse(Buffer.from(one.value ?? []).toString());
      return { kind: 'event', id, event: id };
    };
    const read = await readRecord(secret, { decode });
    expect(read).toMatchObject({ loggedReason: 'decode failed (SyntaxError)' });
    const named = await readRecord(secret, {
      decode: () => {
        throw Object.assign(new Error('x'), { name: '4111111111111111' });
      },
    });
    expect(named).toMatchObject({ loggedReason: 'decode failed (Error)' });
  });
});

describe('the key of an event in the inbox', () => {
  const id = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
    fc.constantFrom('1', '["a","b"]', '["a"]', '["["a"]"]', '["', '","', '[]', '\\', '"'),
    fc
      .tuple(fc.constantFrom('a', 'b', '"', '["a"]'), fc.constantFrom('1', 'b', '"'))
      .map((pair) => JSON.stringify(pair)),
    fc.constantFrom('1', '["a","b"]').map((one) => JSON.stringify([one])),
  );
  const source = fc.option(id, { nil: undefined });

  it.each([undefined, 'source', 'topic'] as const)(
    'is never the same for two different pairs of source and id (identity %s)',
    (identity) => {
      fc.assert(
        fc.property(source, id, source, id, (sourceA, idA, sourceB, idB) => {
          const keyOf = (one: string | undefined, of: string) => {
            const said =
              identity === 'topic' ? undefined : (one ?? (identity === undefined ? undefined : ''));
            return inboxId(identity, { id: of, source: said, topic: one ?? '' });
          };
          const same =
            (sourceA ?? (identity === undefined ? undefined : '')) ===
              (sourceB ?? (identity === undefined ? undefined : '')) && idA === idB;
          expect(keyOf(sourceA, idA) === keyOf(sourceB, idB)).toBe(same);
        }),
        {
          examples: [
            [undefined, '["a","b"]', 'a', 'b'],
            [undefined, '["a"]', undefined, 'a'],
          ],
        },
      );
    },
  );

  it('is the id alone where identity says so, and where no source is given', () => {
    fc.assert(
      fc.property(id, source, (one, from) => {
        expect(inboxId('id', { id: one, source: from, topic: 't' })).toBe(one);
      }),
    );
    expect(inboxId(undefined, { id: 'order-1', topic: 't' })).toBe('order-1');
  });
});
