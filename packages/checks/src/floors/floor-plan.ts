import type { WorkspacePackage } from '../workspace.ts';

/** Who may import whom. */
export interface FloorPlan {
  /** Package folders, ground floor first; each may import from the floors below its own, in tests as well. */
  floors: readonly (readonly string[])[];
  /**
   * Folders for tests and scripts only. Tests and `src/testing` of every package may import them. What each may
   * import itself: `nothing`, or `everything` but apps.
   */
  tools: Readonly<Record<string, 'nothing' | 'everything'>>;
  /**
   * Programs in `docs/examples`, outside the workspace. Each installs these packages as packed, imports nothing else
   * of ours, and is imported by nobody. `linesMax` counts all lines of `src` but blank ones.
   */
  examples: { libraries: readonly string[]; linesMax: number };
  /** Lines that all apps together must stay below. */
  appLinesMax: number;
  /** Lines of one file. */
  fileLinesMax: number;
}

/** The house's floors; CONTRIBUTING.md draws them. */
export const floorPlan: FloorPlan = {
  floors: [
    [
      'packages/events',
      'packages/outbox',
      'packages/idempotent-consumer',
      'packages/service-runtime',
      'packages/api-client',
    ],
    ['packages/db'],
    ['packages/order-lifecycle'],
    ['packages/payments'],
    ['apps/order-api', 'apps/outbox-relay', 'apps/payment-worker', 'packages/ordersctl', 'packages/console'],
  ],
  tools: {
    'packages/dev-stack': 'nothing',
    'packages/checks': 'everything',
    'packages/demo': 'everything',
    'packages/bench': 'everything',
    'packages/chaos': 'everything',
  },
  examples: { libraries: ['packages/outbox', 'packages/idempotent-consumer'], linesMax: 200 },
  appLinesMax: 2_500,
  fileLinesMax: 400,
};

export const isExample = ({ folder }: WorkspacePackage): boolean => folder.startsWith('docs/examples/');

export type FileRole = 'source' | 'test';

/** Test files, test kits for importers (`src/testing…`) and configuration at the package's top are no source. */
export function roleOf(fileInPackage: string): FileRole {
  return fileInPackage.startsWith('src/') && !/^src\/testing[/.]/.test(fileInPackage) ? 'source' : 'test';
}

/** Why `from` must not import `to`, or undefined when it may. */
export function forbidden(
  plan: FloorPlan,
  from: WorkspacePackage,
  to: WorkspacePackage,
  role: FileRole,
): string | undefined {
  if (from.folder === to.folder) return undefined;
  if (isExample(to)) return 'examples are started, not imported';
  if (isExample(from))
    return plan.examples.libraries.includes(to.folder)
      ? undefined
      : `${to.folder} is no library for examples`;
  const rights = plan.tools[from.folder];
  if (rights === 'nothing') return `${from.folder} imports no package of ours`;
  if (plan.tools[to.folder])
    return role === 'test' || rights ? undefined : `${to.folder} is for tests and scripts only`;
  if (rights) return to.folder.startsWith('apps/') ? 'apps are started, not imported' : undefined;
  const fromFloor = floorOf(plan, from);
  const toFloor = floorOf(plan, to);
  if (fromFloor === undefined || toFloor === undefined || toFloor < fromFloor) return undefined;
  return `${to.folder} is on floor ${toFloor}, ${from.folder} on floor ${fromFloor}: only floors below may be imported`;
}

/** 0 is the ground; undefined for tools and for packages the plan does not know. */
export function floorOf(plan: FloorPlan, { folder }: WorkspacePackage): number | undefined {
  const floor = plan.floors.findIndex((folders) => folders.includes(folder));
  return floor === -1 ? undefined : floor;
}
