import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Finding } from '../finding.ts';
import { manifestsFolder } from './manifests.ts';
import { renderedMark } from './releases.ts';

/** What is rendered, by the file that it belongs into. */
export type Rendered = ReadonlyMap<string, string>;

const remedy = 'run pnpm check:deploy --write and commit what changes';

/** Compares the manifests that are checked in with what the charts and values make. */
export function findDrift(root: string, rendered: Rendered): Finding[] {
  const findings: Finding[] = [];
  for (const [file, text] of rendered) {
    const path = join(root, file);
    const held = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    if (held === undefined) findings.push({ rule: 'drift', where: file, message: `is missing: ${remedy}` });
    else if (held !== text)
      findings.push({
        rule: 'drift',
        where: firstDifference(file, held, text),
        message: `is not what helm renders: ${remedy}`,
      });
  }
  for (const file of stale(root, rendered))
    findings.push({ rule: 'drift', where: file, message: `no app renders it any more: ${remedy}` });
  return findings;
}

/** Makes the files what they must be. */
export function writeRendered(root: string, rendered: Rendered): void {
  for (const file of stale(root, rendered)) rmSync(join(root, file));
  for (const [file, text] of rendered) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
}

/** Files that say that they are rendered, but are not. */
const stale = (root: string, rendered: Rendered): string[] =>
  globSync(`${manifestsFolder}/*/*.yaml`, { cwd: root })
    .toSorted()
    .filter((file) => !rendered.has(file) && readFileSync(join(root, file), 'utf8').startsWith(renderedMark));

function firstDifference(file: string, held: string, text: string): string {
  const expected = text.split('\n');
  const line = held.split('\n').findIndex((one, i) => one !== expected[i]);
  return `${file}:${(line === -1 ? expected.length : line) + 1}`;
}
