import { execFile } from 'node:child_process';
import { ChecksError } from '../errors.ts';
import { workspaceRoot } from '../workspace.ts';

const engineWaitMs = 15_000;

export interface DockerRun {
  /** Exit status; 0 is success. */
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs Docker's command line in the workspace's root, for as long as it takes unless told otherwise. @throws ChecksError when there is none */
export function runDocker(args: readonly string[], timeoutMs = 0) {
  return new Promise<DockerRun>((resolve, reject) => {
    const options = { cwd: workspaceRoot, maxBuffer: 256 << 20, timeout: timeoutMs };
    execFile('docker', args, options, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT')
        reject(new ChecksError('CHECKS_TOOL_FAILED', 'there is no command `docker` on PATH; install Docker'));
      else resolve({ status: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr });
    });
  });
}

/** What Docker says on standard output. @throws ChecksError with its complaint when it fails */
export async function docker(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await runDocker(args);
  if (status !== 0)
    throw new ChecksError('CHECKS_TOOL_FAILED', `docker ${args.join(' ')} failed:\n${stdout}${stderr}`);
  return stdout.trim();
}

/** Why no image can be built here, in words, or undefined when an engine answers. */
export async function engineProblem(): Promise<string | undefined> {
  try {
    const { status, stderr } = await runDocker(['version', '--format', '{{.Server.Version}}'], engineWaitMs);
    if (status === 0) return undefined;
    const reason = stderr.trim().split('\n').at(-1) || `silence for ${engineWaitMs / 1000} s`;
    return `no Docker engine answers: ${reason}`;
  } catch (error) {
    return (error as Error).message;
  }
}
