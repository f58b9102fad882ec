import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
const configs = ['apps/*/src/config.ts', 'packages/{ordersctl,service-runtime}/src/config.ts'];
const sources = configs.flatMap((pattern) => globSync(pattern, { cwd: root }));
/** Settings are the only properties in capitals: `NAME: Type…`, `NAME: ms(…)`. */
const settingsOf = (file: string) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/^\s+([A-Z][A-Z_]+): (.*)/gm)].map(
    ([, name = '', value = '']) => ({ file, name, value }),
  );

describe('docs/configuration.md', () => {
  it('names every setting of the services and of ordersctl, and no other', () => {
    expect(sources.length).toBe(5);
    const settings = new Set(sources.flatMap(settingsOf).map(({ name }) => name));
    const documented = [...page.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, name]) => name);
    expect(settings.size).toBeGreaterThan(20);
    expect(
      documented.filter((name) => name !== 'DEV_STACK' && name !== 'DEV_STACK_POSTGRES_URL').sort(),
    ).toEqual([...settings].sort());
  });

  it('gives the defaults that are in the code', () => {
    const wrong = sources.flatMap(settingsOf).filter(({ name, value }) => {
      const given = /(?:default: |ms\()('[^']+'|[\d_* ]+)/.exec(value)?.[1]?.replaceAll(/[_' ]/g, '');
      if (given === undefined) return false;
      const [factor = '', other = '1'] = given.split('*');
      const expected = /^\d+$/.test(factor) ? String(Number(factor) * Number(other)) : given;
      const row = page.split('\n').find((line) => line.startsWith(`| \`${name}\``));
      return row?.split('|')[2]?.replaceAll('`', '').trim() !== expected;
    });
    expect(wrong).toEqual([]);
  });
});
