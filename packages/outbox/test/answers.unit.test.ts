import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { bool, bytes, digits, integer, json, orNull, real, text, time } from '../src/answers.ts';

it.each([
  ['an integer', integer, ['12', 12, 12n, '-1'], [12, 12, undefined, -1]],
  ['what is no integer', integer, ['', ' 1', '1.5', 1.5, '9007199254740993', null, undefined, true], []],
  ['a real number', real, ['1.5e+20', '-Infinity', 2], [1.5e20, -Infinity, 2]],
  ['what is no real number', real, ['', 'NaN', Number.NaN, '0x10 ', null, undefined], []],
  ['digits', digits, ['9007199254740993', 12, 12n], ['9007199254740993', '12', '12']],
  ['what are no digits', digits, ['1.5', 2 ** 60, '', null, undefined], []],
  ['a boolean', bool, ['t', 'f', true, false], [true, false, true, false]],
  ['what is no boolean', bool, ['true', '', 1, 0, null, undefined], []],
  ['text', text, ['', 'a'], ['', 'a']],
  ['what is no text', text, [1, {}, null, undefined], []],
  ['bytes', bytes, ['\\x00ff', 'a\\000\\\\\\377'], [Buffer.from([0, 255]), Buffer.from([97, 0, 92, 255])]],
  ['what are no bytes', bytes, [1, {}, null, undefined], []],
  ['JSON', json, ['null', '"a"', '{"a":1}'], [null, 'a', { a: 1 }]],
  ['what is no JSON', json, ['', 'nonsense', { a: 1 }, null, undefined], []],
  ['a time', time, ['1.5', 1_700_000_000.123456], [new Date(1_500), new Date(1_700_000_000_123)]],
  ['what is no time', time, ['2026-01-01', new Date(), null, undefined], []],
  ['null, where it may be', orNull(text), [null, undefined, 1], [null, undefined, undefined]],
])('%s is read as such, and nothing else is', (_, column, given, expected) => {
  expect(given.map(column)).toEqual(given.map((_one, n) => expected[n]));
});

/** Those that pass a statement on: the one place, and what sends a migration, whose answers nobody reads. */
const senders = ['answers.ts', 'migrations.ts', 'transaction.ts'];

it('answers are read in one place', () => {
  const folder = fileURLToPath(new URL('../src', import.meta.url));
  const files = globSync('**/*.ts', { cwd: folder });
  const sends = files.filter((file) =>
    /\.(query|executeQuery)\(/.test(readFileSync(`${folder}/${file}`, 'utf8')),
  );
  expect(files.length).toBeGreaterThan(50);
  expect(sends.toSorted()).toEqual(senders);
});
