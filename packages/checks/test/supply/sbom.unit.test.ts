import { describe, expect, test } from 'vitest';
import { productionClosure } from '../../src/supply/closure.ts';
import { imageClosure, judgeSbom, listApps, makeSbom, type Sbom } from '../../src/supply/sbom.ts';
import { workspaceRoot } from '../../src/workspace.ts';

const lockfile = `
importers:
  apps/a:
    dependencies:
      lib: { specifier: 'workspace:*', version: 'link:../../packages/lib' }
      direct: { specifier: 1.0.0, version: 1.0.0(peer@3.0.0) }
    devDependencies:
      tester: { specifier: 1.0.0, version: 1.0.0 }
  packages/lib:
    dependencies:
      '@scope/of-lib': { specifier: 2.0.0, version: 2.0.0 }
      alias: { specifier: 'npm:real@4.0.0', version: real@4.0.0 }
    optionalDependencies:
      maybe: { specifier: 1.0.0, version: 1.0.0 }
      elsewhere: { specifier: 1.0.0, version: 1.0.0 }
packages:
  maybe@1.0.0: { os: ['!win32'], cpu: [x64, arm64], libc: [glibc] }
  elsewhere@1.0.0: { os: [linux], libc: [musl] }
snapshots:
  direct@1.0.0(peer@3.0.0): { dependencies: { peer: 3.0.0, '@scope/of-lib': 2.0.0 } }
  peer@3.0.0: { optionalDependencies: { deep: 5.0.0 } }
  deep@5.0.0: { dependencies: { peer: 3.0.0 } }
  '@scope/of-lib@2.0.0': {}
  real@4.0.0: {}
  maybe@1.0.0: {}
  tester@1.0.0: {}
  elsewhere@1.0.0: { dependencies: { tester: 1.0.0 } }
`;
const platform = { os: 'linux', cpu: 'x64', libc: 'glibc' };

describe('the closure by the lockfile', () => {
  test('goes through workspace packages, peers, aliases, optional and circular dependencies, not to tests or other platforms', () => {
    const { packages, workspace } = productionClosure(lockfile, ['apps/a'], platform);
    expect([...packages].toSorted()).toEqual([
      '@scope/of-lib@2.0.0',
      'deep@5.0.0',
      'direct@1.0.0',
      'maybe@1.0.0',
      'peer@3.0.0',
      'real@4.0.0',
    ]);
    expect([...workspace]).toEqual(['apps/a', 'packages/lib']);
  });

  test('does not go on where the lockfile ends', () => {
    expect(() => productionClosure(lockfile, ['apps/b'], platform)).toThrow('pnpm-lock.yaml has no apps/b');
    expect(() => productionClosure(lockfile.replace('  real@4.0.0: {}', ''), ['apps/a'], platform)).toThrow(
      'has no real@4.0.0',
    );
  });
});

describe.each(listApps(workspaceRoot).map((app) => [app.folder, app] as const))(
  'the SBOM of %s',
  (_, app) => {
    test('names the app, ordersctl and what they need, and is refused when it does not', async () => {
      const sbom = await makeSbom(workspaceRoot, app);
      const closure = imageClosure(workspaceRoot, app);
      const { component } = sbom.metadata;
      expect([sbom.bomFormat, component.type, `${component.group}/${component.name}`]).toEqual([
        'CycloneDX',
        'application',
        app.name,
      ]);
      expect(judgeSbom(sbom, closure)).toEqual([]);
      // commander comes with ordersctl, pg with a package of ours that the app uses.
      const names = sbom.components.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(['ordersctl', 'db', 'commander', 'pg', 'pino']));
      for (const tool of ['vitest', 'typescript', 'dev-stack']) expect(names).not.toContain(tool);
      // Everything that is named is reached from the app, which nothing but itself is the root of.
      const edges = new Map(sbom.dependencies.map(({ ref, dependsOn = [] }) => [ref, dependsOn]));
      expect(reachable(edges, component['bom-ref'] as string)).toEqual(
        new Set([component, ...sbom.components].map((one) => one['bom-ref'])),
      );

      const but = (components: Sbom['components']) => judgeSbom({ ...sbom, components }, closure);
      const without = (left: string) => but(sbom.components.filter(({ name }) => name !== left));
      expect(without('pg')).toEqual([expect.stringMatching(/^lacks pg@\d/)]);
      expect(without('ordersctl')).toEqual(['lacks packages/ordersctl']);
      expect(but([...sbom.components, { name: 'vitest', version: '1.0.0' }])).toEqual([
        'names vitest@1.0.0, which does not ship',
      ]);
      expect(but([...sbom.components, { group: '@orders', name: 'dev-stack', version: '1.0.0' }])).toEqual([
        expect.stringMatching(/^names \d+ packages of ours, not \d+$/),
      ]);
      expect(but([]).length).toBe(closure.packages.size + closure.workspace.size - 1);
    });
  },
);

function reachable(edges: ReadonlyMap<string, readonly string[]>, from: string, seen = new Set<string>()) {
  if (seen.has(from)) return seen;
  seen.add(from);
  for (const to of edges.get(from) ?? []) reachable(edges, to, seen);
  return seen;
}

test('each app has its SBOM', () => {
  expect(listApps(workspaceRoot).map(({ folder }) => folder)).toEqual([
    'apps/order-api',
    'apps/outbox-relay',
    'apps/payment-worker',
  ]);
});
