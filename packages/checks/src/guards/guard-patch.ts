import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ChecksError } from '../errors.ts';

/** A test, as a patch names it. */
export interface NamedTest {
  /** Relative to the package. */
  file: string;
  /** The describe parts and the test's own name, joined by ` > `. */
  name: string;
}

/** A line that keeps a promise, given by the patch that removes it. */
export interface Guard {
  name: string;
  /** The promise, in words. */
  promise: string;
  /** The package whose tests are run: `packages/outbox`. */
  packageFolder: string;
  tests: NamedTest[];
  /** What removing it does to the tests; `green` for the half of a pair whose partner holds alone. */
  expect: 'red' | 'green';
  /** The files it changes, from the root. */
  files: string[];
  patchPath: string;
}

/** Where the patches are, from the root. */
export const guardsFolder = 'packages/checks/guards';

/** The guards of a folder, and those whose patch file cannot be understood. */
export interface GuardFolder {
  guards: Guard[];
  broken: { name: string; error: ChecksError }[];
}

/** Reads every `*.patch` of a folder, in alphabetical order. */
export function readGuards(dir: string): GuardFolder {
  const folder: GuardFolder = { guards: [], broken: [] };
  const files = readdirSync(dir).filter((name) => name.endsWith('.patch'));
  for (const file of files.toSorted()) {
    const patchPath = join(dir, file);
    try {
      folder.guards.push(parseGuard(patchPath, readFileSync(patchPath, 'utf8')));
    } catch (error) {
      if (!(error instanceof ChecksError)) throw error;
      folder.broken.push({ name: basename(file, '.patch'), error });
    }
  }
  return folder;
}

const headerLine = /^# (guard|package|test|expect): *(.+?) *$/;

/** Reads a patch: header lines `# key: value`, then a unified diff. Throws CHECKS_GUARD_INVALID. */
export function parseGuard(patchPath: string, text: string): Guard {
  const invalid = (why: string) => new ChecksError('CHECKS_GUARD_INVALID', `${basename(patchPath)}: ${why}`);
  const lines = text.split('\n');
  const diffStart = lines.findIndex((line) => /^(?:diff --git |--- )/.test(line));
  if (diffStart === -1) throw invalid('it has no diff');
  const header: Record<string, string[]> = {};
  for (const line of lines.slice(0, diffStart)) {
    const [, key, value] = headerLine.exec(line) ?? [];
    if (key && value) header[key] = [...(header[key] ?? []), value];
  }
  const one = (key: string): string => {
    const [value, ...more] = header[key] ?? [];
    if (value === undefined || more.length > 0) throw invalid(`it needs one line "# ${key}: …"`);
    return value;
  };
  const expect = header.expect ? one('expect') : 'red';
  if (expect !== 'red' && expect !== 'green') throw invalid('"# expect:" is red or green');
  const tests = (header.test ?? []).map((value) => {
    const [file, name] = splitOnce(value, ' :: ');
    if (!file || !name) throw invalid('"# test:" is "<file> :: <full name>"');
    return { file, name };
  });
  if (tests.length === 0) throw invalid('it needs a line "# test: <file> :: <full name>"');
  const files = changedFiles(lines.slice(diffStart));
  if (files.length === 0) throw invalid('its diff changes no file');
  const changedTest = files.find((file) => /(?:^|\/)test\/|\.test\.ts$/.test(file));
  if (changedTest) throw invalid(`it changes a test (${changedTest}); a guard is in the source`);
  return {
    name: basename(patchPath, '.patch'),
    promise: one('guard'),
    packageFolder: one('package'),
    tests,
    expect,
    files,
    patchPath,
  };
}

function changedFiles(diff: readonly string[]): string[] {
  const files = new Set<string>();
  for (const [index, line] of diff.entries()) {
    // A removed line that begins with "-- " looks like a header too, so both lines are asked for.
    const [, before] = /^--- a\/([^\t]+)/.exec(line) ?? [];
    const next = diff[index + 1] ?? '';
    if (!/^--- /.test(line) || !/^\+\+\+ /.test(next)) continue;
    const [, after] = /^\+\+\+ b\/([^\t]+)/.exec(next) ?? [];
    for (const file of [before, after]) if (file) files.add(file);
  }
  return [...files];
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at).trim(), text.slice(at + separator.length).trim()];
}
