import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Finding } from '../finding.ts';

/** An object as a cluster is given it; the schemas say what else is in it. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  spec?: unknown;
  data?: Record<string, string>;
}

/** An object and the file that it stands in, from the root. */
export interface Manifest {
  file: string;
  object: KubernetesObject;
}

export const manifestsFolder = 'infra/k8s';

/** What `kubectl apply -f infra/k8s/<environment>` applies: the folder's files in alphabetical order. */
export function readManifests(
  root: string,
  environment: string,
): { manifests: Manifest[]; findings: Finding[] } {
  const folder = `${manifestsFolder}/${environment}`;
  const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder)).toSorted() : [];
  const unseen = names.filter((name) => /\.(yml|json)$/.test(name));
  const read = names
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => parseManifests(`${folder}/${name}`, readFileSync(join(root, folder, name), 'utf8')));
  return {
    manifests: read.flatMap(({ manifests }) => manifests),
    findings: [
      ...read.flatMap(({ findings }) => findings),
      ...unseen.map((name) => ({
        rule: 'file',
        where: `${folder}/${name}`,
        message: 'kubectl would apply it, and only .yaml is looked at here',
      })),
    ],
  };
}

/** @param text YAML documents; a key that is there twice is a finding */
export function parseManifests(file: string, text: string): { manifests: Manifest[]; findings: Finding[] } {
  const manifests: Manifest[] = [];
  const findings: Finding[] = [];
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors;
    const object = error === undefined ? document.toJS() : undefined;
    if (error) findings.push({ rule: 'syntax', where: file, message: error.message });
    else if (isObject(object)) manifests.push({ file, object });
    else if (object !== null)
      findings.push({
        rule: 'syntax',
        where: file,
        message: 'is no object with apiVersion, kind and a name',
      });
  }
  return { manifests, findings };
}

function isObject(value: unknown): value is KubernetesObject {
  const object = value as Partial<KubernetesObject> | null;
  return Boolean(object?.apiVersion && object.kind && object.metadata?.name);
}

/** `infra/k8s/dev/order-api.yaml Deployment/order-api` */
export const whereIs = ({ file, object }: Manifest): string =>
  `${file} ${object.kind}/${object.metadata.name}`;
