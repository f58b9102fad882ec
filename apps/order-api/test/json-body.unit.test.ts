import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../src/errors.ts';
import { denotesInteger, parseJsonBody } from '../src/json-body.ts';

const parse = (text: string) => parseJsonBody(Buffer.from(text));

describe('the JSON of a body', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), (text) => {
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ['1.0', 1],
    ['1e2', 100],
    ['1.50e1', 15],
    ['100e-2', 1],
    ['0.0', 0],
    ['9007199254740991.0', 9007199254740991],
    ['9007199254740991.4', Number.NaN],
    ['1.00000000000000001', Number.NaN],
    ['900719925474098.15e1', Number.NaN], // rounds to 9007199254740981 or …982
    ['1e-400', Number.NaN],
    ['9007199254740993', 9007199254740992], // above the maximum, so the schema refuses it
    ['1e400', Number.POSITIVE_INFINITY],
    ['1.5', 1.5],
  ])('reads %s as %s', (literal, value) => {
    expect(parse(`{"n": ${literal}}`)).toEqual({ n: value });
    expect(parse(`[${literal}]`)).toEqual([value]);
  });

  it('decides on the digits whether a number is an integer', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n }), fc.nat({ max: 30 }), (mantissa, places) => {
        const integer = mantissa % 10n ** BigInt(places) === 0n;
        expect(denotesInteger(`${mantissa}e-${places}`)).toBe(integer);
        const digits = mantissa.toString().padStart(places + 1, '0');
        const split = digits.length - places;
        const literal = `-${digits.slice(0, split)}.${digits.slice(split)}`;
        if (places > 0) expect(denotesInteger(literal)).toBe(integer);
        expect(denotesInteger(`${mantissa}E+${places}`)).toBe(true);
      }),
    );
  });

  it.each(['', '{', '{"a":1,}', 'nul', '{"a":NaN}', "{'a':1}", '\ufeff{}', 'nested'])(
    'refuses %j without quoting it',
    (name) => {
      const text = name === 'nested' ? '['.repeat(200_000) : name;
      const problem = { code: 'malformed_json', message: 'The body is not JSON' };
      expect(() => parse(text)).toThrow(expect.objectContaining(problem));
    },
  );

  it('refuses bytes that are not UTF-8 instead of replacing them', () => {
    const bytes = Buffer.from([0x22, 0xc3, 0x28, 0x22]);
    expect(() => parseJsonBody(bytes)).toThrow(ApiError);
    expect(() => parseJsonBody(bytes)).toThrow('its text is not UTF-8');
  });

  it.each([
    ['{"a":1,"a":1}', '/a'],
    ['{"a":1,"\\u0061":2}', '/a'],
    ['{"":1, "" :2}', '/'],
    ['[[], {"x":[1,{"a/b":"\\"a/b\\":","a/b":{}}]}]', '/1/x/1/a~1b'],
    ['{"a":{"b":1},"c":{"b":1,"d":2,"d":3}}', '/c/d'],
    ['{"__proto__":1,"__proto__":2}', '/__proto__'],
  ])('refuses %s, which has a name twice, and says where', (text, field) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        errors: [{ in: 'body', field, message: 'is given more than once' }],
      }),
    );
  });

  it('finds a name that is given twice at any depth, and takes what has none', () => {
    const name = fc.string({ minLength: 1 });
    fc.assert(
      fc.property(fc.json({ maxDepth: 2 }), fc.json({ maxDepth: 2 }), name, fc.nat(5), (a, b, key, depth) => {
        const wrap = (inner: string) => `${'[0,{"x":'.repeat(depth)}${inner}${'}]'.repeat(depth)}`;
        const member = `${JSON.stringify(key)}:`;
        parse(wrap(`[{${member}${a}},{${member}${b}}]`));
        expect(() => parse(wrap(`{${member}${a}, ${member}${b}}`))).toThrow(
          expect.objectContaining({ code: 'invalid_request' }),
        );
      }),
    );
  });

  it('is not slowed down by long numbers and texts, nor by depth', () => {
    const zeros = '0'.repeat(250_000);
    expect(parse(`{"n":1.${zeros}1}`)).toEqual({ n: Number.NaN });
    expect(parse(`{"n":0.${zeros}}`)).toEqual({ n: 0 });
    expect(parse(`[${' '.repeat(250_000)}1]`)).toEqual([1]);
    const text = `"${'\\n'.repeat(125_000)}"`;
    expect(parse(`{${text}:[${text}]}`)).toBeTypeOf('object');
    expect(parse('['.repeat(100_000) + ']'.repeat(100_000))).toBeInstanceOf(Array);
  });

  it('makes no prototype of a member', () => {
    const value = parse('{"__proto__": {"admin": true}, "n": 1.0}') as { admin?: boolean };
    expect(value.admin).toBeUndefined();
    expect(Object.keys(value)).toContain('__proto__');
  });
});
