import { describe, expect, it } from 'vitest';
import { oneMore, problemOf, type Send, useApi } from './api.ts';
import { orderBody } from './bodies.ts';

interface Case {
  name: string;
  /** Sent as it is if it is text or bytes. */
  body?: unknown;
  send?: Send;
  status?: number;
  code?: string;
  /** The fields that the answer must name, and no others. */
  fields?: string[];
  /** What it must say of them, where that matters. */
  says?: RegExp;
}

const item = (change: object) => orderBody({ items: [{ ...orderBody().items[0], ...change }] });
/** An item with a number exactly as it is written here. */
const literal = (field: string, number: string) =>
  JSON.stringify(item({ [field]: 'NUMBER' })).replace('"NUMBER"', number);
const items = (count: number) =>
  orderBody({ items: Array.from({ length: count }, () => orderBody().items[0]) });
const without = (field: string) => orderBody({ [field]: undefined });
const text = JSON.stringify(orderBody());

const malformed: Case[] = [
  { name: 'text that is not JSON', body: '{"customerId": ' },
  { name: 'a trailing comma', body: `${text.slice(0, -1)},}` },
  { name: 'an empty body', body: '' },
  { name: 'bytes that are not UTF-8', body: Buffer.from(text.replace('customer-1', 'ü'), 'latin1') },
  { name: 'very deep nesting', body: '['.repeat(100_000) },
].map((one) => ({ ...one, code: 'malformed_json', fields: [] }));

const twice = /^is given more than once$/;
const structure: Case[] = [
  {
    name: 'a field given twice',
    body: `{"currency": "USD", ${text.slice(1)}`,
    fields: ['/currency'],
    says: twice,
  },
  {
    name: 'a field of an item given twice, once escaped',
    body: text.replace('"quantity"', '"quantit\\u0079": 1, "quantity"'),
    fields: ['/items/0/quantity'],
    says: twice,
  },
  { name: 'null', body: 'null', fields: [''] },
  { name: 'an array', body: '[]', fields: [''] },
  { name: 'a number', body: '7', fields: [''] },
  { name: 'an empty object', body: {}, fields: ['/customerId', '/currency', '/paymentMethod', '/items'] },
  { name: 'no customer', body: without('customerId'), fields: ['/customerId'] },
  { name: 'no items field', body: without('items'), fields: ['/items'] },
  { name: 'an unknown field', body: orderBody({ coupon: 'X' }), fields: ['/coupon'] },
  { name: 'a total of the client', body: orderBody({ totalMinor: 1 }), fields: ['/totalMinor'] },
  { name: 'a state of the client', body: orderBody({ state: 'PAID' }), fields: ['/state'] },
  { name: 'an unknown field of an item', body: item({ discount: 1 }), fields: ['/items/0/discount'] },
  {
    name: 'an item without a price',
    body: item({ unitAmountMinor: undefined }),
    fields: ['/items/0/unitAmountMinor'],
  },
  { name: 'no items', body: items(0), fields: ['/items'] },
  { name: 'more than 100 items', body: items(101), fields: ['/items'] },
  { name: 'items that are an object', body: orderBody({ items: { 0: {} } }), fields: ['/items'] },
  { name: '__proto__ in the body', body: `{"__proto__": {"a": 1}, ${text.slice(1)}`, fields: ['/__proto__'] },
  {
    name: '__proto__ in an item',
    body: text.replace('"sku"', '"__proto__": {"quantity": 1}, "sku"'),
    fields: ['/items/0/__proto__'],
  },
  {
    name: '__proto__ in the metadata',
    body: `{"metadata": {"__proto__": "x"}, ${text.slice(1)}`,
    fields: ['/metadata/__proto__'],
  },
  {
    name: 'constructor in the body',
    body: orderBody({ constructor: { prototype: {} } }),
    fields: ['/constructor'],
  },
];

const amounts: Case[] = [
  ...[
    '0',
    '-1',
    '1.5',
    '-0.5',
    '9007199254740992',
    '9007199254740993',
    '1e400',
    '1e21',
    '"1"',
    'true',
    'null',
    '[1]',
  ],
  '9007199254740991.4',
  '1.00000000000000001',
].map((number) => ({
  name: `a quantity of ${number}`,
  body: literal('quantity', number),
  fields: ['/items/0/quantity'],
}));
amounts.push(
  ...['-1', '0.5', '9007199254740993', '-1e400', '"1"'].map((number) => ({
    name: `a price of ${number}`,
    body: literal('unitAmountMinor', number),
    fields: ['/items/0/unitAmountMinor'],
  })),
  { name: 'a total of zero', body: item({ unitAmountMinor: 0 }), fields: ['/items'] },
  {
    name: 'a total of 2^53',
    body: item({ quantity: 2, unitAmountMinor: 2 ** 52 }),
    fields: ['/items'],
  },
  {
    name: 'a total far above 2^53',
    body: item({ quantity: Number.MAX_SAFE_INTEGER, unitAmountMinor: Number.MAX_SAFE_INTEGER }),
    fields: ['/items'],
  },
);

const texts: Case[] = [
  { name: 'U+0000 in the customer', body: orderBody({ customerId: 'a\u0000b' }), fields: ['/customerId'] },
  { name: 'U+0000 in a name', body: item({ name: '\u0000' }), fields: ['/items/0/name'] },
  { name: 'a lone surrogate in a SKU', body: item({ sku: 'x\ud800' }), fields: ['/items/0/sku'] },
  {
    name: 'U+0000 in a metadata value',
    body: orderBody({ metadata: { a: '\u0000' } }),
    fields: ['/metadata/a'],
  },
  {
    name: 'a lone surrogate in a metadata value',
    body: orderBody({ metadata: { a: '\udc00' } }),
    fields: ['/metadata/a'],
  },
  {
    name: 'U+0000 in a metadata key',
    body: orderBody({ metadata: { '\u0000': 'x' } }),
    fields: ['/metadata/\u0000'],
  },
  {
    name: 'a lone surrogate in a metadata key',
    body: orderBody({ metadata: { '\ud83d': 'x' } }),
    fields: ['/metadata/\ud83d'],
  },
  {
    name: 'a metadata value that is no text',
    body: orderBody({ metadata: { 'a\nb': 5 } }),
    fields: ['/metadata/a\nb'],
  },
  { name: 'an empty metadata key', body: orderBody({ metadata: { '': 'x' } }), fields: ['/metadata/'] },
  {
    name: 'too much metadata',
    body: orderBody({ metadata: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`k${i}`, ''])) }),
    fields: ['/metadata'],
  },
  { name: 'an empty customer', body: orderBody({ customerId: '' }), fields: ['/customerId'] },
  { name: 'a long customer', body: orderBody({ customerId: 'x'.repeat(129) }), fields: ['/customerId'] },
  { name: 'a long name', body: item({ name: 'x'.repeat(201) }), fields: ['/items/0/name'] },
  {
    name: 'a currency in lower case',
    body: orderBody({ currency: 'eur' }),
    fields: ['/currency'],
    says: /^must be three capital letters/,
  },
  { name: 'a currency with a line break', body: orderBody({ currency: 'EUR\n' }), fields: ['/currency'] },
  {
    name: 'a card number',
    body: orderBody({ paymentMethod: '4242424242424242' }),
    fields: ['/paymentMethod'],
    says: /^must be a token/,
  },
];

const keyCase = (name: string, key: string | undefined): Case => ({
  name: `an idempotency key that ${name}`,
  send: { key },
  fields: ['idempotency-key'],
  says: /^(is missing|must be 1 to 255 ASCII characters without spaces)$/,
});
const requests: Case[] = [
  keyCase('is missing', undefined),
  keyCase('is empty', ''),
  keyCase('is too long', 'k'.repeat(256)),
  keyCase('has a space', 'a b'),
  keyCase('is given twice', 'a, b'),
  keyCase('is not ASCII', 'schlüssel'),
  keyCase('has U+0000', 'a\u0000'),
  keyCase('has a lone surrogate', 'a\ud800'),
  { name: 'a body above 256 KiB', body: ' '.repeat(256 * 1024) + text, status: 413, code: 'body_too_large' },
  ...['text/plain', 'application/x-www-form-urlencoded', 'nonsense', undefined].map((type) => ({
    name: `the content type ${type}`,
    send: { headers: { 'content-type': type } },
    status: 415,
    code: 'unsupported_media_type',
  })),
  {
    name: 'a compressed body',
    send: { headers: { 'content-encoding': 'gzip' } },
    status: 415,
    code: 'unsupported_media_type',
  },
  ...[undefined, 'Bearer', 'Basic b3JkOng=', `Bearer ord_${'x'.repeat(43)}`].map((authorization) => ({
    name: `the authorization ${authorization}`,
    send: { headers: { authorization } },
    status: 401,
    code: 'unauthorized',
  })),
];

describe('Bad input', () => {
  const api = useApi();

  it.each([...malformed, ...structure, ...amounts, ...texts, ...requests])(
    'refuses $name; nothing is stored, a neighbour is',
    async ({
      body = orderBody(),
      send = {},
      status = 400,
      code = 'invalid_request',
      fields = [],
      says = /\w/,
    }) => {
      const before = await api().counts();
      const [refused, neighbour] = await Promise.all([api().place(body, send), api().place()]);
      const problem = problemOf(refused);
      expect(problem).toMatchObject({
        contentType: 'application/problem+json',
        type: `urn:orders:problem:${code}`,
        code,
        status,
        title: expect.any(String),
        correlationId: refused.headers['x-correlation-id'],
      });
      expect(refused.statusCode).toBe(status);
      const errors = (problem as { errors?: { field: string; message: string }[] }).errors ?? [];
      expect([...new Set(errors.map((error) => error.field))]).toEqual(fields);
      for (const error of errors) expect(error.message).toMatch(says);
      expect(neighbour.statusCode).toBe(201);
      expect(await api().counts()).toEqual(oneMore(before));
    },
  );

  it('refuses a reused idempotency key with another body, and leaves the first order as it was', async () => {
    const first = await api().place(orderBody(), { key: 'reused' });
    const before = await api().counts();
    const second = await api().place(orderBody({ currency: 'USD' }), { key: 'reused' });
    expect(problemOf(second)).toMatchObject({
      contentType: 'application/problem+json',
      status: 422,
      code: 'idempotency_key_reused',
      errors: [{ in: 'header', field: 'idempotency-key', message: expect.any(String) }],
    });
    expect(await api().counts()).toEqual(before);
    expect((await api().get(first.json().id)).json()).toEqual(first.json());
  });

  it('takes what is unusual but right', async () => {
    const before = await api().counts();
    const bodies = [
      items(100),
      literal('quantity', '1.0'),
      literal('quantity', '2e2'),
      item({ quantity: 1, unitAmountMinor: Number.MAX_SAFE_INTEGER }),
      orderBody({
        items: [...orderBody().items, { sku: 'gift', name: 'Gift', quantity: 1, unitAmountMinor: 0 }],
      }),
      item({ name: '🍵 \u2028 ﷽ "quoted" \\u0000' }),
      orderBody({ customerId: "x'; drop table orders; --" }),
      orderBody({ metadata: { 'a\nb': '', constructor: 'x', 'ключ 🔑': 'значение' } }),
      orderBody({ metadata: {} }),
    ];
    for (const body of bodies) {
      const placed = await api().place(body);
      expect(placed.statusCode, placed.body).toBe(201);
      const { metadata, items: stored } = (typeof body === 'string' ? JSON.parse(body) : body) as ReturnType<
        typeof orderBody
      > & { metadata?: object };
      const shown = (await api().get(placed.json().id)).json();
      expect(shown).toEqual(placed.json());
      expect(shown.items).toEqual(stored);
      expect(shown.metadata).toEqual(metadata);
    }
    expect(await api().counts()).toEqual(oneMore(before, bodies.length));
  });

  it.each([
    ['GET', '/nowhere', 404, 'not_found'],
    ['POST', '/v1/nowhere', 404, 'not_found'],
    ['GET', '/v1/orders', 405, 'method_not_allowed'],
    ['DELETE', '/v1/orders/01900000-0000-7000-8000-000000000000', 405, 'method_not_allowed'],
    ['POST', '/readyz', 405, 'method_not_allowed'],
    ['GET', '/orders', 405, 'method_not_allowed'],
    ['GET', '/v1/orders/%zz', 400, 'malformed_request'],
    ['GET', `/v1/orders/${'x'.repeat(200)}`, 414, 'uri_too_long'],
  ] as const)('answers %s %s with a problem: %i %s', async (method, url, status, code) => {
    const answer = await api().app.http.inject({
      method,
      url,
      payload: method === 'GET' ? undefined : '{',
    } as never);
    expect(answer.statusCode).toBe(status);
    expect(problemOf(answer)).toMatchObject({ contentType: 'application/problem+json', status, code });
    if (status === 405) expect(answer.headers.allow).toMatch(/GET|POST/);
  });

  it('logs no part of a refused body', async () => {
    await api().place(JSON.stringify(orderBody({ paymentMethod: 'tok_canary' })).slice(0, -1));
    await api().place(orderBody({ paymentMethod: '4111111111111111' }));
    const logged = JSON.stringify(api().logs);
    expect(logged).toContain('request refused');
    for (const secret of ['tok_canary', '4111111111111111', api().acme.key])
      expect(logged).not.toContain(secret);
  });
});
