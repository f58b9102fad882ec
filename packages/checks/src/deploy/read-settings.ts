import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What a function of a config.ts is to read. */
export interface SettingsRequest {
  readonly file: string;
  /** Of the function that the file exports. */
  readonly name: string;
  /** The whole environment. */
  readonly given: Readonly<Record<string, string>>;
}

export interface SettingsRead {
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly problems: readonly string[];
}

/** Lets each config.ts read its environment, all in one process of their own: ours is none of theirs. */
export async function readSettings(requests: readonly SettingsRequest[]): Promise<SettingsRead[]> {
  if (requests.length === 0) return [];
  const program = join(import.meta.dirname, 'print-settings.ts');
  const running = promisify(execFile)(process.execPath, [program], { env: {} });
  running.child.stdin?.end(JSON.stringify(requests));
  return JSON.parse((await running).stdout);
}
