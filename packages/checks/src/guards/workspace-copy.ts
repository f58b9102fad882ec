import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ChecksError } from '../errors.ts';
import type { Guard } from './guard-patch.ts';

/** A copy of the workspace that may be broken at will. */
export interface WorkspaceCopy {
  dir: string;
  /** Makes files, given from the root, what they are in the workspace. */
  restore(files: readonly string[]): Promise<void>;
  remove(): Promise<void>;
}

/** Copies of which each is used by one at a time, and then by the next: copying takes longer than many a test. */
export interface WorkspaceCopies {
  /** @param work leaves the copy as it was */
  use<T>(work: (copy: WorkspaceCopy) => Promise<T>): Promise<T>;
  remove(): Promise<void>;
}

export function workspaceCopies(root: string): WorkspaceCopies {
  const idle: WorkspaceCopy[] = [];
  return {
    async use(work) {
      const copy = idle.pop() ?? (await copyWorkspace(root));
      try {
        return await work(copy);
      } finally {
        idle.push(copy);
      }
    },
    remove: async () => void (await Promise.all(idle.splice(0).map((copy) => copy.remove()))),
  };
}

const skippedNames = new Set(['.git', '.turbo', '.reports', '.vite', '.cache', 'dist', 'coverage']);

/**
 * Copies the workspace as it stands, uncommitted changes included. Packages keep their own `node_modules`, whose
 * links are relative, so that packages of ours resolve inside the copy; the root's is linked, which leads everything
 * else to the one installation.
 */
export async function copyWorkspace(root: string): Promise<WorkspaceCopy> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'orders-guards-')));
  const restore = async (files: readonly string[]) => {
    for (const file of files) {
      await rm(join(dir, file), { force: true });
      await cp(join(root, file), join(dir, file)).catch(absent);
    }
  };
  const remove = () => rm(dir, { recursive: true, force: true, maxRetries: 5 });
  try {
    for (const entry of await readdir(root)) {
      const [from, to] = [join(root, entry), join(dir, entry)];
      if (entry === 'node_modules') await symlink(from, to);
      else if (!skippedNames.has(entry))
        await cp(from, to, {
          recursive: true,
          verbatimSymlinks: true,
          filter: (path) => !skippedNames.has(basename(path)),
        });
    }
    return { dir, restore, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Applies a guard's patch to the copy. Throws CHECKS_TOOL_FAILED when it does not apply. */
export async function applyPatch(copy: WorkspaceCopy, guard: Guard): Promise<void> {
  const before = await contentsOf(copy, guard.files);
  try {
    await promisify(execFile)('git', ['apply', '-p1', guard.patchPath], {
      cwd: copy.dir,
      // Inside another repository git would look at paths from its top, and silently skip ours.
      env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(copy.dir) },
    });
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    throw new ChecksError('CHECKS_TOOL_FAILED', `the patch does not apply: ${stderr.trim() || message}`, {
      cause: error,
    });
  }
  if ((await contentsOf(copy, guard.files)) === before)
    throw new ChecksError('CHECKS_TOOL_FAILED', 'the patch does not apply: it changes nothing');
}

async function contentsOf({ dir }: WorkspaceCopy, files: readonly string[]): Promise<string> {
  return JSON.stringify(
    await Promise.all(files.map((file) => readFile(join(dir, file), 'utf8').catch(absent))),
  );
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
