import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { UnhandledErrors } from './unhandled-errors.ts';

/**
 * The vitest configuration of every package: project `unit` (`*.unit.test.ts`) needs no server, project
 * `integration` (`*.int.test.ts`) runs against the shared development stack.
 * @param options `unitSetup`: vitest's global set-up of the unit tests, paths from the package
 */
export function packageTests(options: { unitSetup?: string[] } = {}): ViteUserConfig {
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
        {
          test: {
            ...shared,
            name: 'unit',
            include: ['test/**/*.unit.test.ts'],
            globalSetup: options.unitSetup ?? [],
          },
        },
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
