import type { TestProject } from 'vitest/node';
import { ensureHelm } from '../src/deploy/helm.ts';
import type { ToolFound } from '../src/go-tool.ts';

declare module 'vitest' {
  interface ProvidedContext {
    helm: ToolFound;
  }
}

/** Finds helm, or builds it once; tests of what is deployed get it by `inject('helm')`. */
export default async function setup(project: TestProject): Promise<void> {
  const helm = await ensureHelm((line) => console.error(line));
  if (helm.kind === 'missing') console.error(`tests of what is deployed are skipped: ${helm.reason}`);
  project.provide('helm', helm);
}
