import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { listPackages, type Manifest, type WorkspacePackage } from '../workspace.ts';
import { type FileRole, type FloorPlan, floorOf, forbidden, isExample, roleOf } from './floor-plan.ts';
import { type ModuleFacts, readModule } from './read-module.ts';

export type FloorRule =
  | 'floor' // imports (or declares) a package it must not
  | 'undeclared' // imports what its package.json does not name
  | 'deep-import' // reaches into another package past its exports
  | 'computed-import' // imports what only the running program knows
  | 'environment' // reads the environment outside config.ts
  | 'file-length'
  | 'apps-size'
  | 'example-size'
  | 'example-packed' // an example that installs a library of ours other than packed
  | 'unknown-package' // has no place in the floor plan
  | 'unreadable' // cannot be parsed, so nothing can be said about it
  | 'nothing-seen'; // a package without a module: a check that sees nothing must not hold

export interface Violation {
  rule: FloorRule;
  /** From the root; a line follows where one is known. */
  where: string;
  message: string;
}

export interface FloorReport {
  packages: number;
  modules: number;
  /** References to other modules that were judged. */
  references: number;
  appLines: number;
  violations: Violation[];
}

/** Judges every module of every package below `root` by the plan. */
export function checkFloors(root: string, plan: FloorPlan): FloorReport {
  const packages = listPackages(root);
  const byName = new Map(packages.map((one) => [one.name, one]));
  const report: FloorReport = {
    packages: packages.length,
    modules: 0,
    references: 0,
    appLines: 0,
    violations: [],
  };
  for (const owner of packages) {
    const judge: Judge = { plan, byName, owner, report };
    judgeManifest(judge);
    const files = moduleFiles(owner.dir);
    for (const file of files) judgeModule(judge, file);
    if (isExample(owner)) judgeExample(judge, files);
    if (!files.some((file) => roleOf(file) === 'source'))
      found(judge, 'nothing-seen', owner.folder, 'has no module in src');
  }
  if (report.modules === 0)
    report.violations.push({ rule: 'nothing-seen', where: root, message: 'no module was found' });
  if (report.appLines >= plan.appLinesMax)
    report.violations.push({
      rule: 'apps-size',
      where: 'apps',
      message: `${report.appLines} lines; all apps together stay below ${plan.appLinesMax}`,
    });
  return report;
}

interface Judge {
  plan: FloorPlan;
  byName: ReadonlyMap<string, WorkspacePackage>;
  owner: WorkspacePackage;
  report: FloorReport;
}

function found({ report }: Judge, rule: FloorRule, where: string, message: string): void {
  report.violations.push({ rule, where, message });
}

function judgeManifest(judge: Judge): void {
  const { plan, byName, owner } = judge;
  const where = `${owner.folder}/package.json`;
  if (floorOf(plan, owner) === undefined && !plan.tools[owner.folder] && !isExample(owner))
    found(judge, 'unknown-package', where, 'has no floor: give it one in floor-plan.ts and CONTRIBUTING.md');
  for (const role of ['source', 'test'] as const) {
    for (const name of declared(owner.manifest, role)) {
      const target = byName.get(name);
      const why = target && forbidden(plan, owner, target, role);
      if (why && !(role === 'test' && declared(owner.manifest, 'source').includes(name)))
        found(judge, 'floor', where, `depends on ${name}: ${why}`);
    }
  }
}

/** An example is what importers copy: short, and without the workspace. */
function judgeExample(judge: Judge, files: readonly string[]): void {
  const { plan, byName, owner } = judge;
  const sources = files.filter((file) => roleOf(file) === 'source');
  const lines = sources.reduce(
    (sum, file) => sum + writtenLinesOf(readFileSync(join(owner.dir, file), 'utf8')),
    0,
  );
  if (lines >= plan.examples.linesMax)
    found(
      judge,
      'example-size',
      owner.folder,
      `${lines} lines that are not blank; an example stays below ${plan.examples.linesMax}`,
    );
  for (const [name, version] of Object.entries({
    ...owner.manifest.dependencies,
    ...owner.manifest.devDependencies,
  }))
    if (byName.has(name) && !/^file:.*\.tgz$/.test(version))
      found(
        judge,
        'example-packed',
        `${owner.folder}/package.json`,
        `${name} must be a tarball, not ${version}`,
      );
}

const writtenLinesOf = (text: string): number => text.match(/\S.*/g)?.length ?? 0;
const linesOf = (text: string): number => text.trimEnd().split('\n').length;

/** The packages that a file of this role may import. */
function declared(manifest: Manifest, role: FileRole): string[] {
  const { dependencies, peerDependencies, optionalDependencies, devDependencies } = manifest;
  return Object.keys({
    ...dependencies,
    ...peerDependencies,
    ...optionalDependencies,
    ...(role === 'test' ? devDependencies : {}),
  });
}

const skippedFolders = new Set(['node_modules', 'dist', '.turbo', '.reports', 'coverage']);
const moduleName = /\.(?:[cm]?[jt]s|[jt]sx)$/;

/** Every module of a package, relative to it, with slashes. */
function moduleFiles(packageDir: string): string[] {
  const files: string[] = [];
  const walk = (dir: string) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name);
      if (entry.isDirectory() && !skippedFolders.has(entry.name)) walk(path);
      else if (entry.isFile() && moduleName.test(entry.name))
        files.push(relative(packageDir, path).replaceAll(sep, '/'));
    }
  };
  walk(packageDir);
  return files.toSorted();
}

function judgeModule(judge: Judge, file: string): void {
  const { plan, owner, report } = judge;
  const where = `${owner.folder}/${file}`;
  const text = readFileSync(join(owner.dir, file), 'utf8');
  const role = roleOf(file);
  const lines = linesOf(text);
  report.modules += 1;
  if (owner.folder.startsWith('apps/') && file.startsWith('src/')) report.appLines += lines;
  if (lines > plan.fileLinesMax)
    found(judge, 'file-length', where, `${lines} lines; split what is longer than ${plan.fileLinesMax}`);

  let facts: ModuleFacts;
  try {
    facts = readModule(text, file);
  } catch (error) {
    found(judge, 'unreadable', where, String((error as Error).message).split('\n', 1)[0] ?? '');
    return;
  }
  for (const { specifier, line } of facts.references) {
    report.references += 1;
    judgeReference(judge, { specifier, role, file, where: `${where}:${line}` });
  }
  if (role === 'test' || plan.tools[owner.folder]) return;
  for (const line of facts.computedImports)
    found(judge, 'computed-import', `${where}:${line}`, 'name the module by a plain string');
  if (basename(file) !== 'config.ts')
    for (const line of facts.environmentReads)
      found(judge, 'environment', `${where}:${line}`, 'the environment is read in config.ts only');
}

interface Reference {
  specifier: string;
  role: FileRole;
  /** Relative to the package. */
  file: string;
  where: string;
}

function judgeReference(judge: Judge, { specifier, role, file, where }: Reference): void {
  const { plan, byName, owner } = judge;
  if (isBuiltin(specifier) || specifier.startsWith('#')) return;
  if (/^\.{1,2}(?:\/|$)|^\/|^file:/.test(specifier)) {
    const target = resolve(owner.dir, dirname(file), specifier);
    if (specifier.startsWith('.') && target.startsWith(`${owner.dir}${sep}`)) return;
    found(judge, 'deep-import', where, `${specifier} leaves ${owner.folder}: import the package by its name`);
    return;
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  if (name !== owner.name && !declared(owner.manifest, role).includes(name))
    found(judge, 'undeclared', where, `${name} is not in ${dependencyFields(role)} of its package.json`);
  const target = byName.get(name);
  if (!target) return;
  const why = forbidden(plan, owner, target, role);
  if (why) found(judge, 'floor', where, `imports ${specifier}: ${why}`);
  else if (!isExported(target.manifest, specifier))
    found(judge, 'deep-import', where, `${specifier} is not among the exports of ${name}`);
}

function dependencyFields(role: FileRole): string {
  return role === 'source' ? 'dependencies or peerDependencies' : 'any dependencies';
}

function isExported({ name, exports = {} }: Manifest, specifier: string): boolean {
  return `.${specifier.slice(name.length)}` in exports;
}
