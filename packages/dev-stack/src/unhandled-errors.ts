import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Reporter, Vitest } from 'vitest/node';

/** Where the errors that no test caught are written, relative to the package: a list of lines, empty after a good run. */
export const unhandledErrorsFile = '.reports/unhandled-errors.json';

/** A vitest reporter: its JSON report does not say why a run failed in which no test did. */
export class UnhandledErrors implements Reporter {
  private root = '.';

  onInit(vitest: Vitest): void {
    this.root = vitest.config.root;
  }

  onTestRunEnd(_: unknown, errors: readonly { name?: string; message: string; stack?: string }[]): void {
    mkdirSync(join(this.root, '.reports'), { recursive: true });
    writeFileSync(join(this.root, unhandledErrorsFile), JSON.stringify(errors.map(lineOf)));
  }
}

/** What was thrown, and the first line of ours that it came through. */
function lineOf({ name = 'Error', message, stack = '' }: { name?: string; message: string; stack?: string }) {
  const frames = stack.split('\n').filter((line) => line.trimStart().startsWith('at '));
  const frame = frames.find((line) => !/node_modules|node:/.test(line)) ?? frames[0];
  return `${name}: ${message.split('\n', 1)[0]}${frame ? ` (${frame.trim()})` : ''}`;
}
