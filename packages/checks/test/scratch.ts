import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder that is deleted after the test, with these files in it. */
export function scratchDir(files: Record<string, string> = {}): string {
  const dir = makeScratchDir(files);
  onTestFinished(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}

/** The same, to be deleted by the caller. */
export function makeScratchDir(files: Record<string, string>): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'orders-checks-')));
  writeFiles(dir, files);
  return dir;
}

export function writeFiles(dir: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
}

/** Gives a scratch package the vitest that we run ourselves. */
export function linkVitest(packageDir: string): void {
  mkdirSync(join(packageDir, 'node_modules'), { recursive: true });
  const vitest = realpathSync(join(import.meta.dirname, '../node_modules/vitest'));
  symlinkSync(vitest, join(packageDir, 'node_modules/vitest'));
}
