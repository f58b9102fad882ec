import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type CommandRun, runCommand } from '../run.ts';
import { workspaceRoot } from '../workspace.ts';

/**
 * Runs pnpm in any folder: the one that runs this script, or else the one that this workspace is built with.
 * @param environment added to this process's own
 */
export function runPnpm(
  dir: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandRun> {
  const [command, ...first] = pnpmCommand();
  return runCommand(command, [...first, ...args], { cwd: dir, environment });
}

/** npx would ask the registry which pnpm to take; pnpm tells its scripts where it is. */
function pnpmCommand(): [string, ...string[]] {
  const { npm_execpath: running } = process.env;
  if (running !== undefined && basename(running) === 'pnpm') return [running];
  const { packageManager } = JSON.parse(readFileSync(join(workspaceRoot, 'package.json'), 'utf8'));
  return ['npx', '--yes', packageManager];
}

/** What pnpm said, without its lines, drawn and broken. */
export function inOneLine(output: string): string {
  const words = output.replaceAll(/[×│├╰─▶]/g, ' ').split(/\s+/);
  return words
    .join(' ')
    .trim()
    .replace(/^Error: /, '')
    .replace(/:$/, '');
}
