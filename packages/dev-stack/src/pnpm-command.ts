import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/**
 * The command that runs pnpm, and its first arguments: the pnpm that runs this script, or else the one that this
 * workspace is built with. npx would ask the registry which pnpm to take; pnpm tells its scripts where it is.
 */
export function pnpmCommand(): [command: string, ...args: string[]] {
  const { npm_execpath: running } = process.env;
  if (running !== undefined && basename(running) === 'pnpm') return [running];
  const { packageManager } = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  );
  return ['npx', '--yes', packageManager];
}
