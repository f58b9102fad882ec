import { pnpmCommand } from '@orders/dev-stack';
import { type CommandRun, runCommand } from '../run.ts';

/**
 * Runs pnpm in any folder.
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

/** What pnpm said, without its lines, drawn and broken. */
export function inOneLine(output: string): string {
  const words = output.replaceAll(/[×│├╰─▶]/g, ' ').split(/\s+/);
  return words
    .join(' ')
    .trim()
    .replace(/^Error: /, '')
    .replace(/:$/, '');
}
