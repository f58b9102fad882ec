import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Finding } from '../finding.ts';
import { type Manifest, whereIs } from './manifests.ts';

const folder = join(import.meta.dirname, '../../schemas');

interface SchemaFile {
  schemas: Record<string, object>;
  $defs: Record<string, object>;
}

/**
 * Makes a check against every schema that is held in `packages/checks/schemas`: of the oldest and the newest
 * Kubernetes that we support, and of the operators. A field that none of them knows is a finding, as is a kind.
 */
export function createSchemaCheck(): (manifest: Manifest) => Finding[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  const sources = files.map((name) => {
    const file = JSON.parse(readFileSync(join(folder, name), 'utf8')) as SchemaFile;
    // Formats and what the operators' schemas hold beside JSON Schema say nothing that could be checked here.
    const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    const compiled = new Map<string, ValidateFunction>();
    const validatorOf = (kind: string) => {
      const schema = file.schemas[kind];
      if (schema === undefined) return undefined;
      const validate = compiled.get(kind) ?? ajv.compile({ ...schema, $defs: file.$defs });
      compiled.set(kind, validate);
      return validate;
    };
    return { name: name.replace('.json', ''), validatorOf };
  });

  return (manifest) => {
    const { apiVersion, kind } = manifest.object;
    const findings: Finding[] = [];
    let known = false;
    for (const { name, validatorOf } of sources) {
      const validate = validatorOf(`${apiVersion} ${kind}`);
      if (validate === undefined) continue;
      known = true;
      validate(manifest.object);
      for (const { instancePath, message, params } of validate.errors ?? []) {
        const field = 'additionalProperty' in params ? ` (${params.additionalProperty})` : '';
        findings.push({
          rule: 'schema',
          where: whereIs(manifest),
          message: `${instancePath || '/'} ${message}${field}, says ${name}`,
        });
      }
    }
    if (known) return findings;
    const message = `no schema of ${apiVersion} ${kind} is held in packages/checks/schemas`;
    return [{ rule: 'schema', where: whereIs(manifest), message }];
  };
}
