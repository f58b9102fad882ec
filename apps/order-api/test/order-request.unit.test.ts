import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonBody } from '../src/json-body.ts';
import { canonicalJson, fingerprintOf, OrderRequest, totalMinorOf } from '../src/order-request.ts';
import { strictValidator } from '../src/validation.ts';
import { orderBody } from './bodies.ts';

const validateBody = strictValidator({ schema: OrderRequest, method: 'POST', url: '/', httpPart: 'body' });
/** The fields that an answer would name, or [] for a body that is taken. */
function refusedFields(body: unknown): string[] {
  const result = validateBody(body) as { error?: { errors: { field: string }[] } };
  return result.error?.errors.map((error) => error.field) ?? [];
}

/** The same value with the members of every object in another order. */
function shuffled(value: unknown, seed: number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, seed));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, shuffled(item, seed)] as const);
  const turn = seed % Math.max(entries.length, 1);
  return Object.fromEntries([...entries.slice(turn), ...entries.slice(0, turn)].reverse());
}

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }).filter((s) => !s.includes('\0'));
/** Any text but one, which {@link strictValidator} refuses; the example is below. */
const metadataName = text.filter((name) => name !== '__proto__');
/** Objects as JSON.parse makes them. */
const fromJson = { noNullPrototype: true };
const orders = fc.record(
  {
    customerId: text,
    currency: fc.stringMatching(/^[A-Z]{3}$/),
    paymentMethod: fc.stringMatching(/^tok_[a-z0-9]{1,20}$/),
    items: fc.array(
      fc.record(
        {
          sku: text,
          name: text,
          quantity: fc.integer({ min: 1, max: 1000 }),
          unitAmountMinor: fc.integer({ min: 1, max: 1_000_000 }),
        },
        fromJson,
      ),
      { minLength: 1, maxLength: 5 },
    ),
    metadata: fc.dictionary(metadataName, fc.string({ unit: 'grapheme', maxLength: 20 }), {
      maxKeys: 5,
      ...fromJson,
    }),
  },
  { requiredKeys: ['customerId', 'currency', 'paymentMethod', 'items'], ...fromJson },
);

describe('the schema of an order', () => {
  it('takes every well-formed order, unchanged', () => {
    fc.assert(
      fc.property(orders, (body) => {
        const before = structuredClone(body);
        const result = validateBody(body) as { value?: unknown };
        expect(result.value).toBe(body);
        expect(body).toEqual(before);
      }),
    );
  });

  it('refuses the name __proto__ in the metadata, and says why', () => {
    const body = orderBody({ metadata: { ['__proto__']: '' } });
    expect(validateBody(body)).toEqual({
      error: expect.objectContaining({
        code: 'invalid_request',
        errors: [
          { in: 'body', field: '/metadata/__proto__', message: 'is not a name that a field may have' },
        ],
      }),
    });
  });

  it('coerces nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.constantFrom('1', '', true, null, [1], {}, 1.5, -1, 0, Number.NaN, Number.POSITIVE_INFINITY),
        ),
        (quantity) => {
          const body = orderBody({ items: [{ ...orderBody().items[0], quantity }] });
          expect(refusedFields(body)).toEqual(['/items/0/quantity']);
        },
      ),
    );
  });

  it('refuses U+0000 and lone surrogates wherever text may stand, and names the place', () => {
    const bad = fc.constantFrom('\u0000', '\ud800', '\udfff', 'a\u0000b', '\udc00\ud800', 'x\ud83d');
    const places: Record<string, (s: string) => unknown> = {
      '/customerId': (s) => orderBody({ customerId: s }),
      '/items/0/sku': (s) => orderBody({ items: [{ ...orderBody().items[0], sku: s }] }),
      '/items/0/name': (s) => orderBody({ items: [{ ...orderBody().items[0], name: s }] }),
      '/metadata/note': (s) => orderBody({ metadata: { note: s } }),
    };
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(places)), bad, (place, s) => {
        expect(refusedFields(places[place]?.(s))).toEqual([place]);
      }),
    );
    fc.assert(
      fc.property(bad, (s) => {
        expect(refusedFields(orderBody({ metadata: { fine: 'x', [s]: 'y' } }))).toEqual([`/metadata/${s}`]);
      }),
    );
  });

  it.each([
    ['a line break', 'a\nb'],
    ['a line separator', 'a\u2028b'],
    ['a carriage return', '\r'],
  ])('checks the value of a metadata key with %s like any other', (_, key) => {
    expect(refusedFields(orderBody({ metadata: { [key]: 'text' } }))).toEqual([]);
    expect(refusedFields(orderBody({ metadata: { [key]: 5 } }))).toEqual([`/metadata/${key}`]);
  });

  it('bounds text by its code units or stricter, whatever it is composed of', () => {
    const composed = `e${'\u0301'.repeat(10_000)}`;
    expect(refusedFields(orderBody({ customerId: composed, metadata: { k: composed } }))).toEqual([
      '/customerId',
      '/metadata/k',
    ]);
  });

  it('escapes the names of fields as JSON pointers do', () => {
    expect(refusedFields(orderBody({ 'a/b~c': 1 }))).toEqual(['/a~1b~0c']);
    expect(refusedFields(orderBody({ metadata: { 'a/b~c': '\0' } }))).toEqual(['/metadata/a~1b~0c']);
  });
});

describe('the total', () => {
  const item = (quantity: number, unitAmountMinor: number) => ({
    sku: 's',
    name: 'n',
    quantity,
    unitAmountMinor,
  });

  it('is exact up to 2^53 - 1, and refused above', () => {
    expect(totalMinorOf([item(1, Number.MAX_SAFE_INTEGER)])).toBe(Number.MAX_SAFE_INTEGER);
    const above = [
      [item(1, Number.MAX_SAFE_INTEGER), item(1, 1)],
      [item(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)],
      [item(3, 3002399751580331)], // 2^53 + 1, which a number rounds to 2^53
    ];
    for (const items of above) expect(() => totalMinorOf(items)).toThrow(/not valid/);
  });

  it('is refused when zero', () => {
    expect(() => totalMinorOf([item(5, 0), item(1, 0)])).toThrow(/not valid/);
    expect(totalMinorOf([item(5, 0), item(1, 1)])).toBe(1);
  });
});

describe('the fingerprint of a body', () => {
  it('does not depend on the order of fields nor on white space', () => {
    fc.assert(
      fc.property(orders, fc.nat(), (body, seed) => {
        const written = JSON.stringify(shuffled(body, seed), null, seed % 3);
        const read = parseJsonBody(Buffer.from(written)) as OrderRequest;
        expect(fingerprintOf(read)).toBe(fingerprintOf(body));
      }),
    );
  });

  it('depends on everything else', () => {
    // Two that are drawn apart are hardly ever the same.
    const pairs = fc.oneof(
      fc.tuple(orders, orders),
      fc.tuple(orders, fc.nat()).map(([one, seed]) => [one, shuffled(one, seed) as OrderRequest] as const),
    );
    fc.assert(
      fc.property(pairs, ([one, other]) => {
        expect(fingerprintOf(one) === fingerprintOf(other)).toBe(isDeepStrictEqual(one, other));
      }),
    );
    const order = orderBody();
    const changes = [{ currency: 'USD' }, { metadata: {} }, { items: [...order.items, ...order.items] }];
    const prints = [order, ...changes.map((change) => orderBody(change))].map(
      fingerprintOf as (o: unknown) => string,
    );
    expect(new Set(prints).size).toBe(prints.length);
  });

  it('is of canonical JSON', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'x"' }], a: true })).toBe(
      '{"a":true,"b":[1,{"c":"x\\"","d":null}]}',
    );
  });
});
