import { describe, expect, it } from 'vitest';
import { paymentOptions } from '../src/index.ts';

const capabilities = { replaysDeclines: true, callDurationMaxMs: 10_000 };

describe('payment options', () => {
  it('have defaults that fit together', () => {
    expect(paymentOptions({}, capabilities)).toMatchObject({ attemptsMax: 3, leaseDurationMs: 60_000 });
  });

  it('are refused, all problems at once, when a call outlasts its lease or a margin its key', () => {
    const wrong = {
      leaseDurationMs: 10_000,
      keyLifetimeMs: 5_000,
      keyLifetimeMarginMs: 6_000,
      attemptsMax: 0,
    };
    expect(() => paymentOptions(wrong, capabilities)).toThrow(
      expect.objectContaining({
        code: 'PAYMENTS_OPTIONS_INVALID',
        message: expect.stringMatching(/attemptsMax.*leaseDurationMs.*keyLifetimeMarginMs.*keyLifetimeMs/s),
      }),
    );
  });
});
