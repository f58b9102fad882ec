import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The checkout this source belongs to. */
export const workspaceRoot = resolve(import.meta.dirname, '../../..');

/** The fields of a package.json that the checks read. */
export interface Manifest {
  name: string;
  exports?: Readonly<Record<string, unknown>>;
  scripts?: Readonly<Record<string, string>>;
  dependencies?: Readonly<Record<string, string>>;
  peerDependencies?: Readonly<Record<string, string>>;
  optionalDependencies?: Readonly<Record<string, string>>;
  devDependencies?: Readonly<Record<string, string>>;
}

export interface WorkspacePackage {
  name: string;
  /** From the root, with slashes: `packages/outbox`. */
  folder: string;
  /** Absolute. */
  dir: string;
  manifest: Manifest;
}

/** Every folder of `apps`, `packages` and `docs/examples` that has a package.json, in alphabetical order. */
export function listPackages(root: string): WorkspacePackage[] {
  return ['apps', 'packages', 'docs/examples'].flatMap((parent) => {
    const parentDir = join(root, parent);
    if (!existsSync(parentDir)) return [];
    return readdirSync(parentDir)
      .toSorted()
      .filter((name) => existsSync(join(parentDir, name, 'package.json')))
      .map((name) => readPackage(root, `${parent}/${name}`));
  });
}

function readPackage(root: string, folder: string): WorkspacePackage {
  const dir = join(root, folder);
  const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Manifest;
  return { name: manifest.name, folder, dir, manifest };
}
