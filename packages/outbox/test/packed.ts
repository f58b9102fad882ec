import { resolve } from 'node:path';
import { type PackedProjects, packProjects } from '@orders/dev-stack/packed';

export { importerTsconfig, mustRun, run } from '@orders/dev-stack/packed';

/** The package's folder in the workspace. */
export const packageDir = resolve(import.meta.dirname, '..');

/** The package as its importers get it. */
export interface Packed {
  /** Everything that was packed and installed lies here, outside the workspace. */
  dir: string;
  tarball: string;
  /** The tarball's files, without its folder `package/`. */
  files: string[];
  projects: PackedProjects;
}

/** Builds the package and packs it. */
export async function packOutbox(): Promise<Packed> {
  const projects = await packProjects('packages/outbox');
  const [outbox] = projects.packages;
  if (outbox === undefined) throw new Error('nothing was packed');
  return { dir: projects.dir, tarball: outbox.tarball, files: outbox.files, projects };
}
