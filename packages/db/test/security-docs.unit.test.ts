import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { grants, serviceRoles } from '../src/index.ts';

const page = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8');

it('docs/security.md shows the rights that are given', () => {
  const shown = [...page.matchAll(/^\| `(\w+)` \| ([A-Z, ]*) ?\| ([A-Z, ]*) ?\|$/gm)].map(
    ([, table = '', api = '', worker = '']) => [table, { api: rights(api), worker: rights(worker) }] as const,
  );
  const tables = new Set([...Object.keys(grants.api), ...Object.keys(grants.worker)]);
  expect(tables.size).toBeGreaterThan(10);
  expect(Object.fromEntries(shown)).toEqual(
    Object.fromEntries(
      [...tables].map((table) => [
        table,
        { api: grants.api[table] ?? [], worker: grants.worker[table] ?? [] },
      ]),
    ),
  );
  expect(Object.keys(grants.relay)).toEqual(shown.slice(0, 4).map(([table]) => table));
  for (const role of Object.values(serviceRoles)) expect(page).toContain(`CREATE ROLE ${role} `);
});

const rights = (cell: string): string[] =>
  cell
    .split(', ')
    .map((one) => one.trim())
    .filter((one) => one !== '');
