import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { ChecksError } from '../errors.ts';
import { docker } from './docker.ts';

/** What an image is, as far as it is judged. */
export interface ImageFacts {
  user: string;
  entrypoint: readonly string[];
  command: readonly string[];
  healthcheck: readonly string[];
  stopSignal: string;
  workingDir: string;
  labels: Readonly<Record<string, string>>;
  environment: Readonly<Record<string, string>>;
  /** Every path in it but folders, without a leading slash: `app/package.json`. */
  files: readonly string[];
  sizeBytes: number;
}

interface Inspected {
  Size: number;
  Config: {
    User?: string;
    Entrypoint?: string[] | null;
    Cmd?: string[] | null;
    Healthcheck?: { Test?: string[] };
    StopSignal?: string;
    WorkingDir?: string;
    Labels?: Record<string, string> | null;
    Env?: string[] | null;
  };
}

/** Reads an image that the engine holds; nothing of it is run. */
export async function readImage(image: string): Promise<ImageFacts> {
  const [{ Size, Config }] = JSON.parse(await docker('image', 'inspect', image)) as [Inspected];
  const environment = (Config.Env ?? []).map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  });
  return {
    user: Config.User ?? '',
    entrypoint: Config.Entrypoint ?? [],
    command: Config.Cmd ?? [],
    healthcheck: Config.Healthcheck?.Test ?? [],
    stopSignal: Config.StopSignal ?? 'SIGTERM',
    workingDir: Config.WorkingDir ?? '/',
    labels: Config.Labels ?? {},
    environment: Object.fromEntries(environment),
    files: await listFiles(image),
    sizeBytes: Size,
  };
}

async function listFiles(image: string): Promise<string[]> {
  const container = await docker('create', image, 'never-run');
  try {
    const source = spawn('docker', ['export', container], { stdio: ['ignore', 'pipe', 'inherit'] });
    const tar = spawn('tar', ['-tf', '-'], { stdio: [source.stdout, 'pipe', 'inherit'] });
    const [paths, [status]] = await Promise.all([text(tar.stdout), once(tar, 'close')]);
    if (status !== 0) throw new ChecksError('CHECKS_TOOL_FAILED', `tar cannot read what ${image} holds`);
    return paths.split('\n').filter((path) => path !== '' && !path.endsWith('/'));
  } finally {
    await docker('rm', container);
  }
}
