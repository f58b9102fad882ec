import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ChecksError } from '../errors.ts';
import { docker } from './docker.ts';
import type { ImagePlan } from './image-plan.ts';

/** What an image is built with and labelled with. */
export interface BuildOptions {
  version: string;
  revision: string;
  tags: readonly string[];
  /** Other bases than the Dockerfiles name: of the stage that installs, and of the image itself. */
  buildBase?: string;
  runtimeBase?: string;
}

/** Builds an image and returns its name with the first tag. @throws ChecksError with the builder's output */
export async function buildImage(plan: ImagePlan, root: string, options: BuildOptions): Promise<string> {
  const values = {
    VERSION: options.version,
    REVISION: options.revision,
    CREATED: new Date().toISOString(),
    SOURCE: await sourceOf(root),
    BUILD_BASE: options.buildBase,
    RUNTIME_BASE: options.runtimeBase,
  };
  const settings = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : ['--build-arg', `${name}=${value}`],
  );
  const names = options.tags.map((tag) => `orders/${plan.name}:${tag}`);
  const tags = names.flatMap((name) => ['--tag', name]);
  await docker('build', '--progress=plain', '--file', plan.dockerfile, ...settings, ...tags, '.');
  return names[0] as string;
}

/** The commit that is checked out, with `-dirty` when files differ from it. */
export async function revisionOf(root: string): Promise<string> {
  const revision = await git(root, 'rev-parse', 'HEAD');
  return (await git(root, 'status', '--porcelain')) === '' ? revision : `${revision}-dirty`;
}

/** Where the source is, as far as the checkout says so: never a path of this machine, never a token in a URL. */
async function sourceOf(root: string): Promise<string | undefined> {
  const remote = await git(root, 'remote', 'get-url', 'origin').catch(() => '');
  const url = URL.parse(remote.replace(/^git@([^:]+):/, 'https://$1/').replace(/\.git$/, ''));
  return url?.protocol === 'https:' ? `${url.origin}${url.pathname}` : undefined;
}

async function git(root: string, ...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)('git', args, { cwd: root })).stdout.trim();
  } catch (error) {
    throw new ChecksError('CHECKS_TOOL_FAILED', `git ${args.join(' ')} failed: ${(error as Error).message}`);
  }
}
