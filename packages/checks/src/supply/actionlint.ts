import { ChecksError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { runCommand } from '../run.ts';

/** Knows what a workflow may contain: keys, contexts, types of expressions, labels of runners. */
export const actionlintModule = 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12';

/**
 * Lints workflows.
 * @param command actionlint
 * @param files from `root`; without any nothing is linted
 */
export async function lintWorkflows(
  command: string,
  root: string,
  files: readonly string[],
): Promise<Finding[]> {
  // Other linters that happen to be installed are left out: the same is found everywhere.
  const args = ['-shellcheck=', '-pyflakes=', '-no-color', '-format', '{{json .}}', ...files];
  const { status, stdout, stderr } = await runCommand(command, args, { cwd: root });
  if (status > 1 || (status === 1 && stdout === ''))
    throw new ChecksError('CHECKS_TOOL_FAILED', `actionlint ended with ${status}:\n${stdout}${stderr}`);
  const found = JSON.parse(stdout || '[]') as { message: string; filepath: string; line: number }[];
  return found.map(({ message, filepath, line }) => ({
    rule: 'actionlint',
    where: `${filepath}:${line}`,
    message,
  }));
}
