import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const source = readFileSync(`${packageFolder}test/add-types.ts`, 'utf8');

/** What the compiler says about a source, which is put where its imports of `../src` are right. */
function compile(name: string, text: string): string[] {
  const folder = `${packageFolder}.reports`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/${name}.ts`, text);
  const project = { extends: '../tsconfig.json', include: [], files: [`${name}.ts`] };
  writeFileSync(`${folder}/${name}.json`, JSON.stringify(project));
  const tsc = `${packageFolder}node_modules/.bin/tsc`;
  const { stdout } = spawnSync(tsc, ['-p', `${folder}/${name}.json`], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line.includes('error TS'));
}

it('add takes a Kysely transaction or a pg client; a Kysely instance or a pool does not compile', () => {
  expect(compile('add-types', source)).toEqual([]);
});

it('and the compiler does look: without the expectations it reports each of the four', () => {
  expect(compile('add-types-bare', source.replaceAll('@ts-expect-error', ''))).toHaveLength(4);
});
