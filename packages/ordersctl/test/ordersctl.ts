import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The command line's entry point. */
export const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** What a run of the command line left behind. */
export interface Run {
  status: number;
  out: string;
  err: string;
  /** The answer of `--json`. */
  json(): Record<string, unknown>;
}

/** Runs `ordersctl` as a process that knows nothing but this environment. */
export function ordersctl(args: string[], env: Record<string, string> = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [main, ...args],
      { env: { ...env, PATH: process.env.PATH }, timeout: 50_000 },
      (error, out, err) => {
        const status = error === null ? 0 : error.code;
        if (typeof status !== 'number') reject(error);
        else resolve({ status, out, err, json: () => JSON.parse(out) });
      },
    );
  });
}
