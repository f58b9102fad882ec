import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from '../finding.ts';
import { findDrift, type Rendered, writeRendered } from './drift.ts';
import { createEnvironment } from './environment.ts';
import { checkEnvironment } from './environment-policies.ts';
import { manifestsFolder, readManifests } from './manifests.ts';
import { checkPods } from './pod-policies.ts';
import { checkReachability } from './reachability.ts';
import { listReleases, renderRelease } from './releases.ts';
import { createSchemaCheck } from './schemas.ts';
import { checkSettings } from './settings-policies.ts';

/** Manifests to copy from: other people's namespaces, operators that may not be there. Only their form is checked. */
const examples = 'examples';

export interface DeployReport {
  findings: Finding[];
  /** Apps times environments. */
  releases: number;
  environments: string[];
  /** Objects that were validated. */
  objects: number;
}

/**
 * Renders every app for every environment, compares that with `infra/k8s`, and judges what is there.
 * @param write the manifests that have drifted, instead of objecting to them
 */
export async function checkDeploy(root: string, helm: string, write: boolean): Promise<DeployReport> {
  const releases = listReleases(root);
  const results = await Promise.all(releases.map((release) => renderRelease(helm, root, release)));
  const findings = results.flatMap((result) => result.findings);
  const texts = results.map(({ text }, i) => [releases[i]?.file ?? '', text] as const);
  // What does not render is a finding already, and its manifests stay as they are.
  const rendered: Rendered = new Map(texts.filter(([, text]) => text !== ''));
  if (findings.length === 0 && write) writeRendered(root, rendered);
  if (findings.length === 0) findings.push(...findDrift(root, rendered));

  const checkSchema = createSchemaCheck();
  const folders = listFolders(root);
  let objects = 0;
  for (const folder of folders) {
    const held = readManifests(root, folder);
    objects += held.manifests.length;
    findings.push(...held.findings, ...held.manifests.flatMap(checkSchema));
    if (folder === examples) continue;
    const environment = createEnvironment(folder, held.manifests);
    findings.push(
      ...checkPods(environment),
      ...checkEnvironment(environment),
      ...checkReachability(environment),
    );
    findings.push(...(await checkSettings(root, environment)));
  }
  const environments = folders.filter((folder) => folder !== examples);
  return { findings, releases: releases.length, environments, objects };
}

const listFolders = (root: string): string[] => {
  const folder = join(root, manifestsFolder);
  return existsSync(folder) ? readdirSync(folder).toSorted() : [];
};
