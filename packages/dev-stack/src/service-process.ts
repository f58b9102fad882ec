import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** A line of a service's log: the JSON object it wrote, or `{ msg }` for any other text. */
export interface LogLine {
  msg?: string;
  [field: string]: unknown;
}

/** How a process ended; one of the two is set. */
export interface ServiceExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A service that runs as a process of its own. */
export interface ServiceProcess {
  readonly name: string;
  readonly pid: number;
  /** Everything written so far to standard output and standard error, growing. */
  readonly logs: readonly LogLine[];
  /** Resolves when the process has ended and its log is complete. */
  readonly exited: Promise<ServiceExit>;
  /** Asks it to end, by SIGTERM unless told; SIGKILL follows when it is still there after the grace period. */
  stop(signal?: NodeJS.Signals): Promise<ServiceExit>;
  /** Ends it by SIGKILL. */
  kill(): Promise<ServiceExit>;
}

export interface ServiceOptions {
  /** For messages. */
  name: string;
  /** The module that `node` runs. */
  entry: URL;
  args?: readonly string[];
  /** Its whole environment, besides PATH and where Node keeps what it has compiled. */
  env?: Readonly<Record<string, string>>;
  /** Modules loaded before the entry. */
  imports?: readonly URL[];
  /** How long `stop` waits before it kills; longer than the services' own shutdown limit. */
  graceMs?: number;
}

const parentWatch = new URL('./parent-watch.ts', import.meta.url);

/**
 * Starts a service; resolves as soon as it has a pid, not when it is ready. It is in a session of its own, so that
 * Ctrl-C reaches the starter, which then stops its services in order; if the starter is killed, it ends too.
 * @throws Error when the process cannot be started at all
 */
export async function startService(options: ServiceOptions): Promise<ServiceProcess> {
  const { name, entry, args = [], env = {}, imports = [], graceMs = 30_000 } = options;
  const { PATH, NODE_COMPILE_CACHE: compileCache } = process.env;
  const loaded = [parentWatch, ...imports].flatMap((module) => ['--import', module.href]);
  const child = spawn(process.execPath, [...loaded, fileURLToPath(entry), ...args], {
    detached: true,
    env: { PATH, ...(compileCache && { NODE_COMPILE_CACHE: compileCache }), ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const logs: LogLine[] = [];
  collectLines(child.stdout, (line) => logs.push(parseLine(line)));
  collectLines(child.stderr, (line) => logs.push({ msg: line }));
  child.stdio[3]?.on('error', () => undefined); // its reader died; the exit tells
  const exited = new Promise<ServiceExit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  await once(child, 'spawn');
  return {
    name,
    pid: child.pid as number,
    logs,
    exited,
    stop: (signal = 'SIGTERM') => endChild(child, exited, signal, graceMs),
    kill: () => endChild(child, exited, 'SIGKILL', graceMs),
  };
}

async function endChild(
  child: ChildProcess,
  exited: Promise<ServiceExit>,
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<ServiceExit> {
  child.kill(signal);
  const killing = setTimeout(() => child.kill('SIGKILL'), graceMs);
  return exited.finally(() => clearTimeout(killing));
}

function collectLines(stream: Readable | null, take: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on('line', take);
}

function parseLine(line: string): LogLine {
  try {
    const parsed: unknown = JSON.parse(line);
    if (parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed)) return parsed as LogLine;
  } catch {
    // Not JSON: a message of Node itself, or of a library that does not know our logger.
  }
  return { msg: line };
}
