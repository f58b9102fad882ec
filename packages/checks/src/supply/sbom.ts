import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ChecksError } from '../errors.ts';
import { listPackages, type WorkspacePackage } from '../workspace.ts';
import { type Closure, type Platform, productionClosure } from './closure.ts';
import { runPnpm } from './pnpm.ts';

/** The part of a CycloneDX document that is judged or changed here. */
export interface Sbom {
  bomFormat: string;
  metadata: { component: Component };
  components: readonly Component[];
  dependencies: readonly { ref: string; dependsOn?: readonly string[] }[];
}

interface Component {
  type?: string;
  group?: string;
  name: string;
  version: string;
  purl?: string;
  'bom-ref'?: string;
}

/** Ships in every image beside the app. */
const operatorsTool = '@orders/ordersctl';

/** What an image is: the base image decides it, and the machine that builds. */
const imagePlatform: Platform = { os: 'linux', cpu: process.arch, libc: 'glibc' };

/** The apps, each of which is an image. */
export function listApps(root: string): WorkspacePackage[] {
  return listPackages(root).filter(({ folder }) => folder.startsWith('apps/'));
}

/**
 * Makes the bill of materials of one app's image: what `pnpm install --prod` puts there for the app and ordersctl.
 * The base image's own packages are not in it.
 * @param version of the image; the app's own unless told
 * @throws ChecksError when it does not name exactly what the lockfile says
 */
export async function makeSbom(root: string, app: WorkspacePackage, version?: string): Promise<Sbom> {
  const filters = [app.name, operatorsTool].flatMap((name) => ['--filter', name]);
  const options = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--prod', '--optional'];
  const { os, cpu, libc } = imagePlatform;
  const { status, stdout, stderr } = await runPnpm(root, ['sbom', ...filters, ...options], {
    PNPM_CONFIG_SUPPORTED_ARCHITECTURES: JSON.stringify({ os: [os], cpu: [cpu], libc: [libc] }),
  });
  if (status !== 0)
    throw new ChecksError('CHECKS_TOOL_FAILED', `pnpm sbom of ${app.name} failed:\n${stdout}${stderr}`);
  const sbom = nameRoots(JSON.parse(stdout) as Sbom, identityOf(app, version), operatorsToolOf(root));
  const trouble = judgeSbom(sbom, imageClosure(root, app));
  if (trouble.length > 0)
    throw new ChecksError('CHECKS_TOOL_FAILED', `the SBOM of ${app.name} is wrong:\n${trouble.join('\n')}`);
  return sbom;
}

/** pnpm names the workspace as the root of what several packages need, and not those packages. */
function nameRoots(sbom: Sbom, app: ReturnType<typeof identityOf>, tool: WorkspacePackage): Sbom {
  const { component } = sbom.metadata;
  const root = { ...component, ...app };
  const second = { ...component, ...identityOf(tool) };
  const dependencies = sbom.dependencies.map((one) =>
    one.ref === component['bom-ref']
      ? { ref: root['bom-ref'], dependsOn: [...(one.dependsOn ?? []), second['bom-ref']] }
      : one,
  );
  return {
    ...sbom,
    metadata: { ...sbom.metadata, component: root },
    components: [...sbom.components, second],
    dependencies: [...dependencies, { ref: second['bom-ref'] }],
  };
}

function identityOf({ dir, name: fullName }: WorkspacePackage, ofImage?: string) {
  const { description, ...declared } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
  const version: string = ofImage ?? declared.version;
  const purl = `pkg:npm/%40${fullName.slice(1)}@${version}`;
  return {
    group: '@orders',
    name: fullName.replace('@orders/', ''),
    version,
    description,
    purl,
    'bom-ref': purl,
  };
}

/** What ships in an app's image, by the lockfile alone. */
export function imageClosure(root: string, app: WorkspacePackage): Closure {
  const lockfile = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8');
  return productionClosure(lockfile, [app.folder, operatorsToolOf(root).folder], imagePlatform);
}

function operatorsToolOf(root: string): WorkspacePackage {
  const tool = listPackages(root).find(({ name }) => name === operatorsTool);
  if (tool === undefined) throw new ChecksError('CHECKS_USAGE', `${root} has no ${operatorsTool}`);
  return tool;
}

/** Compares an SBOM with the closure it should describe; empty when it does. Packages of ours are known by folder. */
export function judgeSbom({ metadata, components }: Sbom, { packages, workspace }: Closure): string[] {
  const ours = components.filter(isOurs);
  const named = new Set(components.filter((one) => !isOurs(one)).map(idOf));
  const folders = new Set([metadata.component, ...ours].map(({ name }) => name));
  return [
    ...[...packages].filter((id) => !named.has(id)).map((id) => `lacks ${id}`),
    ...[...named].filter((id) => !packages.has(id)).map((id) => `names ${id}, which does not ship`),
    ...[...workspace].filter((folder) => !folders.has(basename(folder))).map((folder) => `lacks ${folder}`),
    ...(folders.size > workspace.size
      ? [`names ${folders.size} packages of ours, not ${workspace.size}`]
      : []),
  ];
}

const isOurs = ({ group }: Component): boolean => group === '@orders';

const idOf = ({ group, name, version }: Component): string => `${group ? `${group}/` : ''}${name}@${version}`;
