import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What is built where no helm 4 is installed. A module's version never changes: Go checks its sum. */
const helmModule = 'helm.sh/helm/v4/cmd/helm@v4.3.1';

const buildTimeoutMs = 1_200_000;

export type HelmFound = { kind: 'found'; command: string } | { kind: 'missing'; reason: string };

export interface HelmRun {
  status: number;
  stdout: string;
  stderr: string;
}

/** The helm that is installed, or has been built before. */
export function findHelm(): string | undefined {
  const { status, stdout } = spawnSync('helm', ['version', '--template', '{{.Version}}'], {
    encoding: 'utf8',
  });
  if (status === 0 && stdout.startsWith('v4.')) return 'helm';
  const built = join(cacheDir(), 'helm');
  return existsSync(built) ? built : undefined;
}

/** The same, or else builds it with Go, once for all checkouts of this user; `log` is told that this takes a while. */
export async function ensureHelm(log: (line: string) => void): Promise<HelmFound> {
  const command = findHelm();
  if (command !== undefined) return { kind: 'found', command };
  if (spawnSync('go', ['version']).error)
    return { kind: 'missing', reason: 'neither helm 4 nor Go, to build it, is installed' };
  log(`building ${helmModule} (once, a few minutes)`);
  const final = cacheDir();
  mkdirSync(join(final, '..'), { recursive: true });
  const building = mkdtempSync(`${final}.`);
  try {
    const { status, stdout, stderr } = await run(
      'go',
      ['install', helmModule],
      { GOBIN: building },
      buildTimeoutMs,
    );
    const tail = `${stdout}${stderr}`.trim().split('\n').slice(-3).join(' | ');
    if (status !== 0)
      return { kind: 'missing', reason: `helm is not installed, and Go could not build it: ${tail}` };
    mkdirSync(final, { recursive: true });
    renameSync(join(building, 'helm'), join(final, 'helm')); // in one step: whoever builds it too, builds the same
    return { kind: 'found', command: join(final, 'helm') };
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

/** Runs helm; it is told nothing of any cluster. */
export const runHelm = (command: string, args: readonly string[]): Promise<HelmRun> =>
  run(command, args, { KUBECONFIG: '/dev/null' }, 60_000);

function cacheDir(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(base, 'orders-checks', helmModule.replaceAll(/[^a-z0-9.]+/g, '-'));
}

function run(command: string, args: readonly string[], more: Record<string, string>, timeout: number) {
  const options = { env: { ...process.env, ...more }, timeout, maxBuffer: 64 << 20 };
  return new Promise<HelmRun>((done) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error?.code;
      done({
        status: typeof code === 'number' ? code : error ? 1 : 0,
        stdout,
        stderr: stderr || (error?.message ?? ''),
      });
    });
  });
}
