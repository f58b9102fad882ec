import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { runCommand } from './run.ts';

const buildTimeoutMs = 1_200_000;

export type ToolFound = { kind: 'found'; command: string } | { kind: 'missing'; reason: string };

/**
 * Where a program built with Go is kept, for all checkouts of this user; undefined before it was built.
 * @param module `host/path/program@v1.2.3`: a module's version never changes, Go checks its sum
 */
export function findGoTool(module: string): string | undefined {
  const built = join(folderOf(module), programOf(module));
  return existsSync(built) ? built : undefined;
}

/** The same, or else builds it, once; `log` is told that this takes a while. */
export async function ensureGoTool(module: string, log: (line: string) => void): Promise<ToolFound> {
  const command = findGoTool(module);
  if (command !== undefined) return { kind: 'found', command };
  const program = programOf(module);
  if ((await runCommand('go', ['version'])).status !== 0)
    return { kind: 'missing', reason: `neither ${program} nor Go, to build it, is installed` };
  log(`building ${module} (once; it may take a few minutes)`);
  const final = folderOf(module);
  mkdirSync(join(final, '..'), { recursive: true });
  const building = mkdtempSync(`${final}.`);
  try {
    const options = { environment: { GOBIN: building }, timeoutMs: buildTimeoutMs };
    const { status, stdout, stderr } = await runCommand('go', ['install', module], options);
    const tail = `${stdout}${stderr}`.trim().split('\n').slice(-3).join(' | ');
    if (status !== 0)
      return { kind: 'missing', reason: `${program} is not installed, and Go could not build it: ${tail}` };
    mkdirSync(final, { recursive: true });
    renameSync(join(building, program), join(final, program)); // in one step: whoever builds it too, builds the same
    return { kind: 'found', command: join(final, program) };
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

const programOf = (module: string): string => basename(module.split('@')[0] ?? '');

function folderOf(module: string): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(base, 'orders-checks', module.replaceAll(/[^a-z0-9.]+/g, '-'));
}
