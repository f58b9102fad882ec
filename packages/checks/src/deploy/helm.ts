import { spawnSync } from 'node:child_process';
import { ensureGoTool, findGoTool, type ToolFound } from '../go-tool.ts';
import { type CommandRun, runCommand } from '../run.ts';

/** What is built where no helm 4 is installed. */
const helmModule = 'helm.sh/helm/v4/cmd/helm@v4.3.1';

/** The helm that is installed, or has been built before. */
export function findHelm(): string | undefined {
  const { status, stdout } = spawnSync('helm', ['version', '--template', '{{.Version}}'], {
    encoding: 'utf8',
  });
  return status === 0 && stdout.startsWith('v4.') ? 'helm' : findGoTool(helmModule);
}

/** The same, or else builds it with Go; `log` is told that this takes a while. */
export async function ensureHelm(log: (line: string) => void): Promise<ToolFound> {
  const command = findHelm();
  return command === undefined ? ensureGoTool(helmModule, log) : { kind: 'found', command };
}

/** Runs helm; it is told nothing of any cluster. */
export const runHelm = (command: string, args: readonly string[]): Promise<CommandRun> =>
  runCommand(command, args, { environment: { KUBECONFIG: '/dev/null' }, timeoutMs: 60_000 });
