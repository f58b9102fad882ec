import { execFile } from 'node:child_process';

export interface CommandRun {
  /** Exit status; 0 is success. */
  status: number;
  stdout: string;
  /** Why it could not be run, where it said nothing itself. */
  stderr: string;
}

export interface CommandOptions {
  cwd?: string;
  /** Added to this process's environment. */
  environment?: Readonly<Record<string, string>>;
  /** After this long it is ended, and has failed. */
  timeoutMs?: number;
}

/** Runs a command to its end, whatever that is; a command that cannot be started has failed too. */
export function runCommand(
  command: string,
  args: readonly string[],
  { cwd, environment = {}, timeoutMs = 0 }: CommandOptions = {},
): Promise<CommandRun> {
  const options = { cwd, env: { ...process.env, ...environment }, timeout: timeoutMs, maxBuffer: 64 << 20 };
  return new Promise((done) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error?.code;
      const status = typeof code === 'number' ? code : error ? 1 : 0;
      done({ status, stdout, stderr: stderr || (error?.message ?? '') });
    });
  });
}
