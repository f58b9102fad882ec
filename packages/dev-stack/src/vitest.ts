import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { UnhandledErrors } from './unhandled-errors.ts';

/**
 * The vitest configuration of every package: project `unit` (`*.unit.test.ts`) needs no server, project
 * `integration` (`*.int.test.ts`) runs against the shared development stack.
 */
export function packageTests(): ViteUserConfig {
  // All packages are tested at the same time: what is waited for comes, but not soon.
  const shared = {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    restoreMocks: true,
    expect: { poll: { timeout: 15_000 } },
  };
  return defineConfig({
    test: {
      maxWorkers: 2,
      passWithNoTests: false,
      // kafkajs sets timers into the past (tulios/kafkajs#1751); our services work round it, a test's own client need not.
      execArgv: ['--disable-warning=TimeoutNegativeWarning'],
      reporters: ['default', 'json', new UnhandledErrors()],
      outputFile: { json: '.reports/vitest.json' },
      projects: [
        { test: { ...shared, name: 'unit', include: ['test/**/*.unit.test.ts'] } },
        {
          test: {
            ...shared,
            name: 'integration',
            include: ['test/**/*.int.test.ts'],
            globalSetup: ['@orders/dev-stack/vitest-global-setup'],
          },
        },
      ],
    },
  });
}
