import { posix } from 'node:path';
import { parse } from 'yaml';

type Dependencies = Readonly<Record<string, string>>;

interface Importer {
  dependencies?: Readonly<Record<string, { version: string }>>;
  optionalDependencies?: Readonly<Record<string, { version: string }>>;
}

interface Snapshot {
  dependencies?: Dependencies;
  optionalDependencies?: Dependencies;
}

/** Where a package can be installed; absent lists allow everything. */
interface PackageNeeds {
  os?: readonly string[];
  cpu?: readonly string[];
  libc?: readonly string[];
}

interface Lockfile {
  importers: Readonly<Record<string, Importer>>;
  packages: Readonly<Record<string, PackageNeeds>>;
  snapshots: Readonly<Record<string, Snapshot>>;
}

/** What a machine or image is, in Node's words: `linux`, `x64`, `glibc`. */
export interface Platform {
  os: string;
  cpu: string;
  libc: string;
}

/** What a production install of some workspace packages brings with it. */
export interface Closure {
  /** `name@version` of packages from the registry. */
  packages: ReadonlySet<string>;
  /** Folders of workspace packages, the asked ones included. */
  workspace: ReadonlySet<string>;
}

/**
 * Follows a pnpm-lock.yaml from workspace packages on, through other workspace packages too.
 * @param lockfile the file's text
 * @param folders from the root: `apps/order-api`
 * @param platform packages for other ones are left out, with what only they need
 * @throws for a folder or package that the lockfile does not have
 */
export function productionClosure(lockfile: string, folders: readonly string[], platform: Platform): Closure {
  const { importers, packages, snapshots } = parse(lockfile) as Lockfile;
  const workspace = new Set<string>();
  const seen = new Set<string>();

  function visitImporter(folder: string): void {
    if (workspace.has(folder)) return;
    workspace.add(folder);
    const importer = importers[folder];
    if (importer === undefined) throw new Error(`pnpm-lock.yaml has no ${folder}`);
    for (const [name, { version }] of entries(importer.dependencies, importer.optionalDependencies)) {
      if (version.startsWith('link:')) visitImporter(posix.join(folder, version.slice('link:'.length)));
      else visitPackage(keyOf(name, version));
    }
  }

  function visitPackage(key: string): void {
    if (seen.has(key) || !installs(packages[withoutPeers(key)], platform)) return;
    seen.add(key);
    const snapshot = snapshots[key];
    if (snapshot === undefined) throw new Error(`pnpm-lock.yaml has no ${key}`);
    for (const [name, version] of entries(snapshot.dependencies, snapshot.optionalDependencies))
      visitPackage(keyOf(name, version));
  }

  for (const folder of folders) visitImporter(folder);
  return { packages: new Set([...seen].map(withoutPeers)), workspace };
}

function installs(needs: PackageNeeds = {}, platform: Platform): boolean {
  const allows = (list: readonly string[] = [], value: string) => {
    const wanted = list.filter((one) => !one.startsWith('!'));
    return !list.includes(`!${value}`) && (wanted.length === 0 || wanted.includes(value));
  };
  return (
    allows(needs.os, platform.os) && allows(needs.cpu, platform.cpu) && allows(needs.libc, platform.libc)
  );
}

function entries<T>(...records: (Readonly<Record<string, T>> | undefined)[]): [string, T][] {
  return records.flatMap((record) => Object.entries(record ?? {}));
}

/** An alias names the package itself: `other@1.2.3`. */
const keyOf = (name: string, version: string): string =>
  /^(@[^/@]+\/)?[^/@(]+@/.test(version) ? version : `${name}@${version}`;

/** `a@1.0.0(b@2.0.0)` is a@1.0.0 beside the peer b. */
const withoutPeers = (key: string): string => key.replace(/\(.*$/, '');
