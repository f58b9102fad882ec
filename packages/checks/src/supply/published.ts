import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from '../finding.ts';
import { listPackages, type Manifest } from '../workspace.ts';

/** What changesets may publish. Every other package of the workspace must say that it is private. */
export const publishedLibraries = ['@orders/outbox', '@orders/idempotent-consumer'];

interface PublishedManifest extends Manifest {
  private?: boolean;
  license?: string;
  files?: readonly string[];
  publishConfig?: { exports?: Readonly<Record<string, unknown>> };
}

/** Judges whether what is published is what should be, and whether it could be used where it is installed. */
export function checkPublished(root: string, libraries: readonly string[] = publishedLibraries): Finding[] {
  const packages = listPackages(root).filter(({ folder }) => !folder.startsWith('docs/'));
  const missing = libraries.filter((name) => !packages.some((one) => one.name === name));
  const findings: Finding[] = missing.map((name) => ({
    rule: 'published',
    where: 'packages',
    message: `has no ${name}`,
  }));
  for (const { name, dir, folder } of packages) {
    const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as PublishedManifest;
    for (const message of libraries.includes(name) ? troubleOf(manifest, libraries) : secretOf(manifest))
      findings.push({ rule: 'published', where: `${folder}/package.json`, message });
  }
  return findings;
}

function secretOf(manifest: PublishedManifest): string[] {
  return manifest.private === true
    ? []
    : ['would be published: say "private": true, or list it as a library'];
}

function troubleOf(manifest: PublishedManifest, libraries: readonly string[]): string[] {
  const { publishConfig, files = [], dependencies = {}, peerDependencies = {} } = manifest;
  const ours = Object.keys({ ...dependencies, ...peerDependencies }).filter((one) =>
    one.startsWith('@orders/'),
  );
  return [
    ...(manifest.private ? ['is private, and should be published'] : []),
    ...(manifest.license ? [] : ['names no license']),
    ...(files.length === 1 && files[0] === 'dist' ? [] : ['files: pack dist only']),
    ...(publishConfig?.exports
      ? []
      : ['publishConfig.exports: name the built files, sources are not packed']),
    ...ours.filter((one) => !libraries.includes(one)).map((one) => `needs ${one}, which is not published`),
  ];
}
