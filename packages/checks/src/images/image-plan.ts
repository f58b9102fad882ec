import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { imageClosure, listApps } from '../supply/sbom.ts';
import type { WorkspacePackage } from '../workspace.ts';

/** An image that this repository builds. */
export interface ImagePlan {
  /** `order-api`; the image is `orders/order-api`. */
  name: string;
  /** From the root. */
  dockerfile: string;
  entrypoint: readonly string[];
  command: readonly string[];
  /** Where it is asked whether it lives and whether it is ready. */
  port: number;
  livePath: string;
  readyPath: string;
  /** Of an app. The simulator has none: it is for development only, and held to less. */
  app?: AppPlan;
}

export interface AppPlan {
  /** Folders of ours that belong inside. */
  folders: ReadonlySet<string>;
  /** Packages from the registry that do, `name@version`. */
  packages: ReadonlySet<string>;
  /** The setting that holds its port. */
  portSetting: 'PORT' | 'PROBE_PORT';
}

const node = '/nodejs/bin/node';

/** The apps' images, then the gateway simulator's. */
export function planImages(root: string): ImagePlan[] {
  return [...listApps(root).map((app) => planApp(root, app)), simulator];
}

function planApp(root: string, app: WorkspacePackage): ImagePlan {
  const { packages, workspace: folders } = imageClosure(root, app);
  const api = app.folder === 'apps/order-api'; // serves its probes beside the API
  return {
    name: basename(app.folder),
    dockerfile: `${app.folder}/Dockerfile`,
    entrypoint: [node],
    command: [`${app.folder}/src/main.ts`],
    port: api ? 3000 : 3001,
    livePath: '/livez',
    readyPath: '/readyz',
    app: { folders, packages, portSetting: api ? 'PORT' : 'PROBE_PORT' },
  };
}

const simulator: ImagePlan = {
  name: 'gateway-simulator',
  dockerfile: 'packages/dev-stack/Dockerfile',
  entrypoint: [node, 'src/gateway-simulator/main.ts'],
  command: ['--host=0.0.0.0', '--port=4000', '--ledger=/ledger/ledger.jsonl'],
  port: 4000,
  livePath: '/control',
  readyPath: '/control',
};

/** The product's version, as the root's package.json says. */
export function productVersion(root: string): string {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
}
