import { deliveryTests } from './source-delivery.ts';
import { membershipTests } from './source-membership.ts';
import { offsetTests } from './source-offsets.ts';
import { recordTests } from './source-records.ts';
import type { RecordSourceUnderTest } from './source-under-test.ts';

/** Only the contract needs it. */
const vitest = await import('vitest').catch((error: Error) => error);

/**
 * The test suite that every `RecordSource` passes; call it in a test file of the adapter. It takes about half a
 * minute: its tests run side by side.
 * @throws Error when vitest is not installed
 */
export function recordSourceContract(name: string, open: () => Promise<RecordSourceUnderTest>): void {
  if (vitest instanceof Error) throw vitest;
  const { afterAll, beforeAll, describe } = vitest;
  const tests = { ...deliveryTests, ...recordTests, ...offsetTests, ...membershipTests };
  describe(`${name} is a RecordSource`, () => {
    let broker: RecordSourceUnderTest;
    beforeAll(async () => {
      broker = await open();
    });
    afterAll(() => broker?.close());
    for (const [title, test] of Object.entries(tests)) {
      vitest.it.concurrent(title, { timeout: 60_000 }, () => test(vitest, broker));
    }
  });
}
