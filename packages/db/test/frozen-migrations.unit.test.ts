import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import frozen from './frozen-migrations.json' with { type: 'json' };

const packages = join(import.meta.dirname, '../..');
const folders = ['outbox', 'idempotent-consumer', 'db'].map((name) => `${name}/src/migrations`);

/** A migration that a database somewhere has applied must stay what it was: what is to change is a new migration. */
function changes(files: Readonly<Record<string, string>>, known: Readonly<Record<string, string>>): string[] {
  const found: string[] = [];
  for (const [file, hash] of Object.entries(known))
    if (files[file] !== hash) found.push(`${file} has changed or is gone: write a new migration instead`);
  for (const [file, hash] of Object.entries(files))
    if (known[file] === undefined)
      found.push(`${file} is new: add "${file}": "${hash}" to frozen-migrations.json`);
  return found;
}

function migrationFiles(): Record<string, string> {
  const files: Record<string, string> = {};
  for (const folder of folders)
    for (const name of readdirSync(join(packages, folder)).sort())
      if (/^\d{4}-/.test(name)) {
        const source = readFileSync(join(packages, folder, name));
        files[`${folder}/${name}`] = createHash('sha256').update(source).digest('hex');
      }
  return files;
}

it('no migration has changed since it was committed, and all are known', () => {
  expect(changes(migrationFiles(), frozen)).toEqual([]);
});

it('one that has changed, is gone or is new is told', () => {
  const known = { 'a/0001-a.ts': '1', 'a/0002-b.ts': '2' };
  expect(changes({ ...known, 'a/0002-b.ts': 'other' }, known)).toEqual([
    'a/0002-b.ts has changed or is gone: write a new migration instead',
  ]);
  expect(changes({ 'a/0001-a.ts': '1' }, known)).toHaveLength(1);
  expect(changes({ ...known, 'a/0003-c.ts': '3' }, known)).toEqual([
    'a/0003-c.ts is new: add "a/0003-c.ts": "3" to frozen-migrations.json',
  ]);
});
