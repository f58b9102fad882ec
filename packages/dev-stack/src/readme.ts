import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const workspaceDir = resolve(import.meta.dirname, '../../..');

/** The README of a package, beside what its source says, for tests that compare the two. */
export interface Readme {
  readonly text: string;
  /** Its TypeScript blocks, in order. */
  readonly snippets: readonly string[];
  /** Rows of the tables below a heading: their cells, without the backquotes. Header and rule are left out. */
  rowsBelow(heading: string): string[][];
  /** Optional properties of an interface in `src`. */
  optionsOf(file: string, name: string): string[];
  /** The members of the union of error codes in `src/errors.ts`. */
  errorCodes(): string[];
}

/** @param folder of the package in the workspace */
export function readReadme(folder: string): Readme {
  const packageDir = join(workspaceDir, folder);
  const text = readFileSync(join(packageDir, 'README.md'), 'utf8');
  const source = (file: string) => readFileSync(join(packageDir, 'src', file), 'utf8');
  return {
    text,
    snippets: [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code as string),
    rowsBelow(heading) {
      const section = text.split(/^## /m).find((one) => one.startsWith(`${heading}\n`));
      if (section === undefined) throw new Error(`the README has no heading ${heading}`);
      const lines = section.split('\n');
      const isRow = (line: string | undefined) => line?.startsWith('|') && !line.startsWith('|---');
      return lines
        .filter((line, i) => isRow(line) && !lines[i + 1]?.startsWith('|---'))
        .map((line) => line.slice(1, -1).split('|').map(cellText));
    },
    optionsOf(file, name) {
      const body = new RegExp(`^export interface ${name}\\b.*?^}`, 'ms').exec(source(file))?.[0];
      if (body === undefined) throw new Error(`${file} has no interface ${name}`);
      return [...body.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, option]) => option as string);
    },
    errorCodes: () =>
      [...source('errors.ts').matchAll(/^ {2}\| '([A-Z]+_\w+)'/gm)].map(([, code]) => code as string),
  };
}

const cellText = (cell: string): string => cell.trim().replace(/^`([^`]*)`$/, '$1');
