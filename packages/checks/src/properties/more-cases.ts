import { afterAll, inject, vi } from 'vitest';

/** Set-up of a test file: every property is tried with the seed and the number of cases that are provided. */

declare module 'vitest' {
  interface ProvidedContext {
    moreCases: { seed: number; runs: number };
  }
}

const counted = vi.hoisted(() => ({ properties: 0 }));

vi.mock('fast-check', async (original) => {
  const fc = await original<typeof import('fast-check')>();
  const { seed, runs } = inject('moreCases');
  // The declared overloads tell synchronous properties from others; what is passed on is the same.
  const assert = ((property: Parameters<typeof fc.assert>[0], parameters?: object) => {
    counted.properties++;
    return fc.assert(property, { ...parameters, seed, numRuns: runs });
  }) as typeof fc.assert;
  return { ...fc, assert, default: { ...fc.default, assert } };
});

afterAll(() => {
  if (counted.properties === 0) throw new Error('no property was tried');
});
