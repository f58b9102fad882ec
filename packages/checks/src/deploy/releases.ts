import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import type { Finding } from '../finding.ts';
import { runHelm } from './helm.ts';
import { manifestsFolder, parseManifests } from './manifests.ts';

const chart = 'infra/helm/service';

/** An app in an environment: what `helm install` would be told. */
export interface Release {
  app: string;
  environment: string;
  /** From the root, the later ones win. */
  values: readonly string[];
  /** Where its manifests are kept, from the root. */
  file: string;
}

/** One per `apps/<app>/helm/values.<environment>.yaml`. */
export function listReleases(root: string): Release[] {
  return globSync('apps/*/helm/values.*.yaml', { cwd: root })
    .toSorted()
    .map((overlay) => {
      const [, app = '', environment = ''] = /^apps\/(.+)\/helm\/values\.(.+)\.yaml$/.exec(overlay) ?? [];
      const values = [`apps/${app}/helm/values.yaml`, overlay];
      return { app, environment, values, file: `${manifestsFolder}/${environment}/${app}.yaml` };
    });
}

/** First line of every file that is rendered, and of no other. */
export const renderedMark = '# Rendered by `pnpm check:deploy --write`';

/**
 * Lints and renders a release.
 * @returns what its file must hold, as this program's own YAML, so that the version of helm does not show; or the findings
 */
export async function renderRelease(
  helm: string,
  root: string,
  release: Release,
): Promise<{ text: string; findings: Finding[] }> {
  const { app, values } = release;
  const where = values.at(-1) ?? '';
  const files = values.flatMap((path) => ['--values', join(root, path)]);
  const lint = await runHelm(helm, ['lint', '--strict', '--quiet', join(root, chart), ...files]);
  if (lint.status !== 0)
    return { text: '', findings: [{ rule: 'lint', where, message: brief(root, lint.stdout + lint.stderr) }] };

  const namespace = namespaceOf(root, release);
  if (namespace === undefined)
    return {
      text: '',
      findings: [{ rule: 'namespace', where, message: `${namespaceFile(release)} names none` }],
    };
  const rendered = await runHelm(helm, [
    'template',
    app,
    join(root, chart),
    '--namespace',
    namespace,
    ...files,
  ]);
  if (rendered.status !== 0)
    return { text: '', findings: [{ rule: 'template', where, message: brief(root, rendered.stderr) }] };
  const { manifests, findings } = parseManifests(release.file, rendered.stdout);
  const documents = manifests.map(({ object }) =>
    stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }),
  );
  return {
    text: `${renderedMark} from ${chart} and apps/${app}/helm.\n${documents.join('---\n')}`,
    findings,
  };
}

const namespaceFile = ({ environment }: Release) => `${manifestsFolder}/${environment}/00-namespace.yaml`;

/** An environment's namespace is said once, by the file that makes it. */
function namespaceOf(root: string, release: Release): string | undefined {
  try {
    const documents = parseAllDocuments(readFileSync(join(root, namespaceFile(release)), 'utf8'));
    return documents.map((document) => document.toJS()).find((object) => object?.kind === 'Namespace')
      ?.metadata.name;
  } catch {
    return undefined;
  }
}

/** helm's complaint in one line. */
const brief = (root: string, output: string): string =>
  output
    .replaceAll(`${root}/`, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(==> Linting|Error: \d+ chart)/.test(line))
    .join(' ');
