import { startService } from '@orders/dev-stack';
import { describe, expect, it } from 'vitest';

const entry = new URL('../src/main.ts', import.meta.url);

async function problemsWith(env: Record<string, string>) {
  const worker = await startService({ name: 'payment-worker', entry, env });
  expect(await worker.exited).toEqual({ code: 1, signal: null });
  expect(worker.logs).toHaveLength(1);
  expect(worker.logs[0]).toMatchObject({ level: 'error', code: 'RUNTIME_CONFIG_INVALID' });
  expect(JSON.stringify(worker.logs)).not.toContain('hunter2');
  return worker.logs[0]?.problems;
}

const sound = {
  DATABASE_URL: 'postgres://worker:hunter2@db/orders',
  KAFKA_BROKERS: 'kafka:9092',
  GATEWAY_URL: 'http://gateway',
};

describe('the configuration of payment-worker', () => {
  it('with a wrong environment it ends at once: one line names every problem, none prints a value', async () => {
    const { GATEWAY_URL: _, ...rest } = sound;
    expect(
      await problemsWith({ ...rest, PAYMENT_CONCURRENCY_MAX: '0', PAYMENT_LEASE_MS: 'hunter2' }),
    ).toEqual(
      expect.arrayContaining([
        'GATEWAY_URL is missing',
        'PAYMENT_CONCURRENCY_MAX must be >= 1',
        'PAYMENT_LEASE_MS must be integer',
      ]),
    );
  });

  it('time-outs that contradict each other are refused: a call must end inside its lease, a lease inside the key', async () => {
    const times = {
      GATEWAY_TIMEOUT_MS: '5000',
      PAYMENT_LEASE_MS: '5000',
      GATEWAY_KEY_LIFETIME_MS: '6000',
      GATEWAY_KEY_LIFETIME_MARGIN_MS: '2000',
      PAYMENT_BACKOFF_BASE_MS: '2',
      PAYMENT_BACKOFF_MAX_MS: '1',
    };
    expect(await problemsWith({ ...sound, ...times })).toEqual([
      'GATEWAY_TIMEOUT_MS must be less than PAYMENT_LEASE_MS',
      'GATEWAY_TIMEOUT_MS must be less than GATEWAY_KEY_LIFETIME_MARGIN_MS',
      'PAYMENT_LEASE_MS must be less than GATEWAY_KEY_LIFETIME_MS - GATEWAY_KEY_LIFETIME_MARGIN_MS',
      'PAYMENT_BACKOFF_BASE_MS must not be more than PAYMENT_BACKOFF_MAX_MS',
    ]);
  });

  it.each(['gateway:8080', 'ftp://gateway', 'https://user:hunter2@gateway'])(
    'a gateway that cannot be called is refused at the start: %s',
    async (GATEWAY_URL) => {
      expect(await problemsWith({ ...sound, GATEWAY_URL })).toEqual([
        'GATEWAY_URL must be an http:// or https:// URL without user and password',
      ]);
    },
  );
});
