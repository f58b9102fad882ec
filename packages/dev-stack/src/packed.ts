import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { pnpmCommand } from './pnpm-command.ts';

const workspaceDir = resolve(import.meta.dirname, '../../..');

/** How a command ended. */
export interface Finished {
  /** Exit status; 0 is success. */
  status: number;
  /** Standard output and standard error. */
  output: string;
}

/** Runs a command to its end, with this process's Node first in PATH. */
export function run(cwd: string, command: string, ...args: string[]): Promise<Finished> {
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
  return new Promise((done) => {
    execFile(command, args, { cwd, env, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      const code = error?.code;
      done({ status: typeof code === 'number' ? code : error ? 1 : 0, output: `${stdout}${stderr}` });
    });
  });
}

/** Runs a command and returns its output. Throws when it fails. */
export async function mustRun(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { status, output } = await run(cwd, command, ...args);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${output}`);
  return output;
}

/** A package as its importers get it. */
export interface PackedPackage {
  /** As in its package.json. */
  name: string;
  tarball: string;
  /** The tarball's files, without its folder `package/`. */
  files: string[];
}

/** Packed packages, and the projects that install them, all outside the workspace. */
export interface PackedProjects {
  dir: string;
  packages: PackedPackage[];
  /**
   * Makes a project that installs the packages and, in the versions that the first of them is developed with,
   * `dependencies`; `name@version` takes another version.
   * @param files by path, contents
   * @returns its folder
   */
  make(
    name: string,
    dependencies: readonly string[],
    files: Readonly<Record<string, string>>,
  ): Promise<string>;
  /** Copies a folder of the repository, with the tarballs beside its package.json, and installs it. */
  copy(from: string, name: string): Promise<string>;
  remove(): Promise<void>;
}

/** Builds and packs packages of the workspace, given by their folders in it. */
export async function packProjects(...folders: readonly [string, ...string[]]): Promise<PackedProjects> {
  const dir = await mkdtemp(join(tmpdir(), 'orders-packed-'));
  const packageDirs = folders.map((folder) => join(workspaceDir, folder));
  const packages = await Promise.all(packageDirs.map((from) => pack(from, dir)));

  return {
    dir,
    packages,
    async make(name, dependencies, files) {
      const versions = Object.fromEntries(packages.map((one) => [one.name, `file:${one.tarball}`]));
      for (const one of dependencies) {
        const [, packageName = one, version] = /^(.+)@(.+)$/.exec(one) ?? [];
        versions[packageName] = version ?? (await versionOf(packageDirs[0] as string, packageName));
      }
      const project = join(dir, name);
      const manifest = { name, private: true, type: 'module', dependencies: versions };
      const all = {
        'package.json': JSON.stringify(manifest),
        'pnpm-workspace.yaml': projectSettings,
        ...files,
      };
      for (const [path, text] of Object.entries(all)) {
        await mkdir(dirname(join(project, path)), { recursive: true });
        await writeFile(join(project, path), text);
      }
      await install(project);
      return project;
    },
    async copy(from, name) {
      const project = join(dir, name);
      const filter = (path: string) => !/node_modules|\.tgz$/.test(path);
      await cp(join(workspaceDir, from), project, { recursive: true, filter });
      for (const { tarball } of packages) await cp(tarball, join(project, basename(tarball)));
      await writeFile(join(project, 'pnpm-workspace.yaml'), projectSettings);
      await install(project);
      return project;
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

async function pack(packageDir: string, dir: string): Promise<PackedPackage> {
  const { name } = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8'));
  const tarball = join(dir, `${name.replace('@', '').replace('/', '-')}.tgz`);
  await pnpm(packageDir, 'pack', '--out', tarball);
  const files = (await mustRun(dir, 'tar', 'tzf', tarball)).trim().split('\n');
  return { name, tarball, files: files.map((file) => file.replace(/^package\//, '')).toSorted() };
}

/** The version of a package that another is developed with, so that it need not be fetched once more. */
async function versionOf(packageDir: string, name: string): Promise<string> {
  return JSON.parse(await readFile(join(packageDir, 'node_modules', name, 'package.json'), 'utf8')).version;
}

/**
 * A `tsconfig.json` as strict as an importer's may be: the declarations of libraries are checked too.
 * @param more compiler options
 */
export const importerTsconfig = (more: object = {}) =>
  JSON.stringify({
    compilerOptions: {
      module: 'nodenext',
      target: 'es2024',
      outDir: 'dist',
      rootDir: 'src',
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      ...more,
    },
    include: ['src'],
  });

/** Nobody but the project itself decides what is installed, and what a package asks for must be there. */
const projectSettings = `autoInstallPeers: false\nstrictPeerDependencies: true\nallowBuilds:\n  node: true\n`;

function pnpm(cwd: string, ...args: string[]): Promise<string> {
  const [command, ...first] = pnpmCommand();
  return mustRun(cwd, command, ...first, ...args);
}

const install = (dir: string) => pnpm(dir, 'install', '--prefer-offline', '--no-frozen-lockfile');
