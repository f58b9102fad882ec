import { expect } from 'vitest';
import { type Manifest, readManifests } from '../../src/deploy/manifests.ts';
import type { Container, PodSpec } from '../../src/deploy/workloads.ts';
import { workspaceRoot } from '../../src/workspace.ts';

/** A manifest whose inside a test changes as it likes. */
// biome-ignore lint/suspicious/noExplicitAny: the tests make what no type would allow
export type Malleable = Omit<Manifest, 'object'> & { object: any };
export type Change = (manifests: Malleable[]) => Malleable[];

/** What is checked in for an environment, to be changed. */
export function copyOf(environment: string): Malleable[] {
  const { manifests, findings } = readManifests(workspaceRoot, environment);
  expect(findings).toEqual([]);
  return structuredClone(manifests);
}

/** The one object whose name is this or begins with it. */
export function find(manifests: readonly Malleable[], kind: string, name: string): Malleable {
  const of = manifests.filter(({ object }) => object.kind === kind);
  const found =
    of.find(({ object }) => object.metadata.name === name) ??
    of.find(({ object }) => object.metadata.name.startsWith(`${name}-`));
  if (found === undefined) throw new Error(`there is no ${kind} ${name} to change`);
  return found;
}

export function deployment(manifests: readonly Malleable[], name: string): { pod: PodSpec; own: Container } {
  const pod = find(manifests, 'Deployment', name).object.spec.template.spec as PodSpec;
  const [own] = pod.containers;
  if (own === undefined) throw new Error(`${name} has no container`);
  return { pod, own };
}

// biome-ignore lint/suspicious/noExplicitAny: see Malleable
export const changed = (kind: string, name: string, change: (object: any) => unknown): Change => {
  return (manifests) => {
    change(find(manifests, kind, name).object);
    return manifests;
  };
};

export const without = (kind: string, name: string): Change => {
  return (manifests) => manifests.filter((one) => one !== find(manifests, kind, name));
};

/** What was found, in a line each. */
export const rulesOf = (findings: readonly { rule: string; message: string }[]) =>
  findings.map(({ rule, message }) => `${rule}: ${message}`);
