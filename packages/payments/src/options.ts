import type { BackoffOptions } from './backoff.ts';
import { PaymentsError } from './errors.ts';
import type { GatewayCapabilities } from './gateway.ts';

/** Durations and limits of the executor. All times in milliseconds. */
export interface PaymentOptions extends BackoffOptions {
  /** How long a claimed payment belongs to one worker. */
  readonly leaseDurationMs: number;
  /** Payments that one worker has in hand at the same time. */
  readonly concurrencyMax: number;
  /** Declined attempts of one round before the order is FAILED. */
  readonly attemptsMax: number;
  /** How long an outcome may stay open before a person is asked (order in REVIEW). */
  readonly paymentDeadlineMs: number;
  /** How long the gateway honours a repeated key, counted from its first send. */
  readonly keyLifetimeMs: number;
  /** No send starts in this last part of the key's lifetime. */
  readonly keyLifetimeMarginMs: number;
  /** How often the table is looked at when nobody calls `wake`. */
  readonly pollIntervalMs: number;
  /** How often what fell between two steps is looked for. */
  readonly sweepIntervalMs: number;
  /** How long an order may be without a payment before the sweeper takes it for a lost event. */
  readonly lostEventGraceMs: number;
  /** How long `stop` waits for calls in flight. */
  readonly drainTimeoutMs: number;
}

const defaults: PaymentOptions = {
  leaseDurationMs: 60_000,
  concurrencyMax: 32,
  attemptsMax: 3,
  backoffBaseMs: 1_000,
  backoffMaxMs: 60_000,
  paymentDeadlineMs: 24 * 3_600_000,
  keyLifetimeMs: 24 * 3_600_000,
  keyLifetimeMarginMs: 3_600_000,
  pollIntervalMs: 500,
  sweepIntervalMs: 5_000,
  lostEventGraceMs: 60_000,
  drainTimeoutMs: 20_000,
};

/**
 * Fills in the defaults and checks what the protocol rests on: a call is shorter than a lease and than the margin
 * (one that starts at the last moment still arrives while its key is honoured), and a key outlives both.
 * @throws PaymentsError `PAYMENTS_OPTIONS_INVALID` naming every problem
 */
export function paymentOptions(
  given: Partial<PaymentOptions>,
  capabilities: GatewayCapabilities,
): PaymentOptions {
  const options = { ...defaults, ...given };
  const problems = Object.entries(options)
    .filter(([, value]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name, value]) => `${name} is ${value}, not a positive integer`);
  const needShorter = (shorter: string, shorterMs: number, longer: string, longerMs: number) => {
    if (shorterMs >= longerMs)
      problems.push(`${shorter} (${shorterMs}) is not below ${longer} (${longerMs})`);
  };
  const { leaseDurationMs, keyLifetimeMs, keyLifetimeMarginMs } = options;
  const { callDurationMaxMs } = capabilities;
  needShorter('the longest gateway call', callDurationMaxMs, 'leaseDurationMs', leaseDurationMs);
  needShorter('the longest gateway call', callDurationMaxMs, 'keyLifetimeMarginMs', keyLifetimeMarginMs);
  needShorter('keyLifetimeMarginMs', keyLifetimeMarginMs, 'keyLifetimeMs', keyLifetimeMs);
  if (problems.length > 0) throw new PaymentsError('PAYMENTS_OPTIONS_INVALID', problems.join('; '));
  return Object.freeze(options);
}
