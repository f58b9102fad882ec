// Makes the JSON files beside it; README.md says from what. Not part of any check: run by hand for a new version.
//   node packages/checks/schemas/vendor.ts kubernetes-1.31.json FOLDER     of kubernetes-validate, v1.31.0-local-strict
//   node packages/checks/schemas/vendor.ts keda.json CRD.yaml…
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';

type Schema = { [name: string]: unknown };

/** What our manifests consist of; each file has `schemas` by "apiVersion Kind" and the `$defs` they refer to. */
const kinds = [
  'v1 ConfigMap',
  'v1 Namespace',
  'v1 Secret',
  'v1 Service',
  'v1 ServiceAccount',
  'apps/v1 Deployment',
  'apps/v1 StatefulSet',
  'autoscaling/v2 HorizontalPodAutoscaler',
  'batch/v1 Job',
  'networking.k8s.io/v1 NetworkPolicy',
  'policy/v1 PodDisruptionBudget',
];

const [target = '', ...sources] = process.argv.slice(2);
if (sources.length === 0) throw new Error('usage: vendor.ts FILE.json SOURCE…');
const made = target.startsWith('kubernetes-') ? fromKubernetes(sources[0] ?? '') : fromDefinitions(sources);
writeFileSync(join(import.meta.dirname, basename(target)), `${JSON.stringify(made, null, 1)}\n`);

/** Keeps of the folder's one large file of definitions what `kinds` need. */
function fromKubernetes(folder: string) {
  const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const all = read('_definitions.json').$defs as Record<string, Schema>;
  const $defs: Record<string, Schema> = {};
  const keep = (schema: unknown): Schema => {
    const text = JSON.stringify(plain(schema)).replaceAll('"/api/_definitions.json#/', '"#/');
    for (const [, name = ''] of text.matchAll(/"#\/\$defs\/([^"]+)"/g)) {
      if (name in $defs) continue;
      $defs[name] = {}; // before its own definition is read, which may refer to itself
      $defs[name] = keep(all[name]);
    }
    return JSON.parse(text);
  };
  const schemas = kinds.map((kind) => {
    const [apiVersion = '', name = ''] = kind.split(' ');
    const [group = '', version = group] = apiVersion.split('/');
    const file = [name, ...(apiVersion === version ? [] : [group.split('.')[0]]), version].join('-');
    return [kind, keep(read(`${file.toLowerCase()}.json`))] as const;
  });
  return { schemas: Object.fromEntries(schemas), $defs };
}

/** The served versions of CustomResourceDefinitions, made to refuse unknown fields as `kubectl` does. */
function fromDefinitions(files: readonly string[]) {
  const documents = files.flatMap((file) => parseAllDocuments(readFileSync(file, 'utf8')));
  const schemas = documents.flatMap((document) => {
    const { spec } = document.toJS();
    return spec.versions
      .filter((version: { served: boolean }) => version.served)
      .map((version: { name: string; schema: { openAPIV3Schema: Schema } }) => {
        const schema = strict(plain(version.schema.openAPIV3Schema)) as { properties: Schema };
        schema.properties.metadata = { type: 'object' };
        return [`${spec.group}/${version.name} ${spec.names.kind}`, schema];
      });
  });
  return { schemas: Object.fromEntries(schemas), $defs: {} };
}

/** Without the texts, and without what only an API server understands. */
function plain(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(plain);
  if (schema === null || typeof schema !== 'object') return schema;
  const texts = (name: string, value: unknown) => name === 'description' && typeof value === 'string';
  const kept = Object.entries(schema).filter(
    ([name, value]) => !texts(name, value) && !/^x-kubernetes-(list|map|validations|group)/.test(name),
  );
  return Object.fromEntries(kept.map(([name, value]) => [name, plain(value)]));
}

function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (schema === null || typeof schema !== 'object') return schema;
  const {
    'x-kubernetes-int-or-string': either,
    'x-kubernetes-preserve-unknown-fields': any,
    ...rest
  } = schema as Schema;
  const made = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, strict(value)]));
  if (either === true) {
    delete made.anyOf; // says the same
    return { ...made, type: ['integer', 'string'] };
  }
  if (made.type === 'object' && made.properties && any !== true && made.additionalProperties === undefined)
    made.additionalProperties = false;
  return made;
}
