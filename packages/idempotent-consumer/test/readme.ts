import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const packageDir = resolve(import.meta.dirname, '..');
export const readme = readFileSync(join(packageDir, 'README.md'), 'utf8');

/** The TypeScript blocks of a Markdown text, in order. */
export const snippetsOf = (markdown: string): string[] =>
  [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code as string);

/** Rows of the tables below a heading of the README: their cells, without the backquotes. Header and rule are left out. */
export function rowsBelow(heading: string): string[][] {
  const section = readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the README has no heading ${heading}`);
  const lines = section.split('\n');
  const isRow = (line: string | undefined) => line?.startsWith('|') && !line.startsWith('|---');
  return lines
    .filter((line, i) => isRow(line) && !lines[i + 1]?.startsWith('|---'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim().replace(/^`([^`]*)`$/, '$1')),
    );
}

/** Optional properties of an interface in `src`. */
export function optionsOf(file: string, name: string): string[] {
  const text = readFileSync(join(packageDir, 'src', file), 'utf8');
  const body = new RegExp(`^export interface ${name}\\b.*?^}`, 'ms').exec(text)?.[0];
  if (body === undefined) throw new Error(`${file} has no interface ${name}`);
  return [...body.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, option]) => option as string);
}

/** The members of the union of error codes. */
export function errorCodes(): string[] {
  const text = readFileSync(join(packageDir, 'src/errors.ts'), 'utf8');
  return [...text.matchAll(/^ {2}\| '(CONSUMER_\w+)'/gm)].map(([, code]) => code as string);
}
