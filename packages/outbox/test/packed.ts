import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';

/** The package's folder in the workspace. */
export const packageDir = resolve(import.meta.dirname, '..');
export const workspaceDir = resolve(packageDir, '../..');

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

/** The package manager that the workspace is built with. */
async function pnpm(cwd: string, ...args: string[]): Promise<string> {
  const { packageManager } = JSON.parse(await readFile(join(workspaceDir, 'package.json'), 'utf8'));
  return mustRun(cwd, 'npx', '--yes', packageManager, ...args);
}

export interface Packed {
  /** Everything that was packed and installed lies here, outside the workspace. */
  dir: string;
  tarball: string;
  /** The tarball's files, without its folder `package/`. */
  files: string[];
  remove(): Promise<void>;
}

/** Builds the package and packs it. */
export async function packOutbox(): Promise<Packed> {
  const dir = await mkdtemp(join(tmpdir(), 'outbox-package-'));
  const tarball = join(dir, 'orders-outbox.tgz');
  await pnpm(packageDir, 'pack', '--out', tarball);
  const files = (await mustRun(dir, 'tar', 'tzf', tarball)).trim().split('\n');
  return {
    dir,
    tarball,
    files: files.map((file) => file.replace(/^package\//, '')).toSorted(),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

/** The version of a package that this one is developed with, so that it need not be fetched once more. */
export async function versionOf(name: string): Promise<string> {
  const manifest = join(packageDir, 'node_modules', name, 'package.json');
  return JSON.parse(await readFile(manifest, 'utf8')).version;
}

/** Nobody but the project itself decides what is installed, and what a package asks for must be there. */
const projectSettings = `autoInstallPeers: false\nstrictPeerDependencies: true\nallowBuilds:\n  node: true\n`;

/**
 * Makes a project outside the workspace that installs the tarball and, in the versions used here, `packages`.
 * @param files by path, contents
 * @returns its folder
 */
export async function makeProject(
  packed: Packed,
  name: string,
  packages: readonly string[],
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const dependencies: Record<string, string> = { '@orders/outbox': `file:${packed.tarball}` };
  for (const one of packages) {
    const [, packageName = one, version] = /^(.+)@(.+)$/.exec(one) ?? [];
    dependencies[packageName] = version ?? (await versionOf(packageName));
  }
  const dir = join(packed.dir, name);
  await mkdir(dir);
  const manifest = { name, private: true, type: 'module', dependencies };
  const all = { 'package.json': JSON.stringify(manifest), 'pnpm-workspace.yaml': projectSettings, ...files };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  await install(dir);
  return dir;
}

/** Copies a folder of the repository out of it and installs it beside the tarball. */
export async function copyProject(packed: Packed, from: string, name: string): Promise<string> {
  const dir = join(packed.dir, name);
  await cp(join(workspaceDir, from), dir, {
    recursive: true,
    filter: (path) => !/node_modules|\.tgz$/.test(path),
  });
  await cp(packed.tarball, join(dir, 'orders-outbox.tgz'));
  await writeFile(join(dir, 'pnpm-workspace.yaml'), projectSettings);
  await install(dir);
  return dir;
}

const install = (dir: string) => pnpm(dir, 'install', '--prefer-offline', '--no-frozen-lockfile');
