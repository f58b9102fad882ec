import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { scratchDir } from '../scratch.ts';

export interface Release {
  version: string;
  /** Days since it was published. */
  age: number;
  /** Published with provenance. */
  attested?: boolean;
  /** Fields of its package.json. */
  manifest?: object;
}

const dayMs = 24 * 60 * 60 * 1000;

/** What the registry says of known vulnerabilities, by package. */
export type Advisories = Readonly<Record<string, readonly object[]>>;

/**
 * A npm registry on loopback for one test: it answers for these packages, with the dates and attestations that a real
 * registry would state, and knows no other.
 * @param packages by name
 * @param advisories without them it does not know the question
 * @returns its URL
 */
export async function openRegistry(
  packages: Readonly<Record<string, readonly Release[]>>,
  advisories?: Advisories,
): Promise<string> {
  const answers = new Map<string, Buffer | string>();
  if (advisories) answers.set('/-/npm/v1/security/advisories/bulk', JSON.stringify(advisories));
  const server = createServer((request, response) => {
    const answer = answers.get(decodeURIComponent(request.url ?? ''));
    response.writeHead(answer === undefined ? 404 : 200).end(answer ?? '{}');
  });
  await listen(server);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const [name, releases] of Object.entries(packages)) {
    const packed = releases.map((release) => pack(name, release));
    for (const [i, { version }] of releases.entries())
      answers.set(`/${name}/-/${name}-${version}.tgz`, packed[i] as Buffer);
    answers.set(`/${name}`, JSON.stringify(packument(url, name, releases, packed)));
  }
  return url;
}

async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
}

const manifestOf = (name: string, { version, manifest }: Release) => ({ name, version, ...manifest });

function pack(name: string, release: Release): Buffer {
  const dir = scratchDir({ 'package/package.json': JSON.stringify(manifestOf(name, release)) });
  execFileSync('tar', ['czf', 'package.tgz', 'package'], { cwd: dir });
  return readFileSync(join(dir, 'package.tgz'));
}

function packument(url: string, name: string, releases: readonly Release[], packed: readonly Buffer[]) {
  const versions = releases.map((release, i) => {
    const integrity = `sha512-${createHash('sha512')
      .update(packed[i] as Buffer)
      .digest('base64')}`;
    const attestations = { provenance: { predicateType: 'https://slsa.dev/provenance/v1' } };
    const dist = {
      tarball: `${url}/${name}/-/${name}-${release.version}.tgz`,
      integrity,
      ...(release.attested && { attestations }),
    };
    const scripts = (release.manifest as { scripts?: object } | undefined)?.scripts;
    return { ...manifestOf(name, release), dist, ...(scripts && { hasInstallScript: true }) };
  });
  const published = releases.map(
    ({ version, age }) => [version, new Date(Date.now() - age * dayMs).toISOString()] as const,
  );
  return {
    name,
    'dist-tags': { latest: releases.at(-1)?.version },
    versions: Object.fromEntries(versions.map((one) => [one.version, one])),
    time: Object.fromEntries(published),
    modified: published.at(-1)?.[1],
  };
}
