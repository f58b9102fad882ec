import { type GatewaySimulator, startGatewaySimulator } from '@orders/dev-stack';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHttpGateway } from '../src/index.ts';
import { callTimeoutMs, useSystem } from './system.ts';

const system = useSystem();
let simulator: GatewaySimulator;
beforeAll(async () => {
  simulator = await startGatewaySimulator({ successRate: 1, latencyMs: 10 });
});
afterAll(() => simulator?.stop());

const crashPoints = [
  'payments.claim.before-commit',
  'payments.claim.after-commit',
  'payments.call.before',
  'payments.call.after',
  'payments.record.before-commit',
  'payments.record.after-commit',
];

/** In this process, by throwing; `packages/demo/test` kills real workers at the same points. */
describe('Test 5: Crash recovery of charging', () => {
  it.each(crashPoints)(
    'work that ends at %s is finished by the next worker, charged once',
    async (crashAt) => {
      const { dueOrder, startExecutor, stateOf, stored } = system();
      const gateway = createHttpGateway({ url: simulator.url, timeoutMs: callTimeoutMs });
      const reached = Promise.withResolvers<void>();
      const orderId = await dueOrder();
      const victim = startExecutor(gateway, {
        options: { sweepIntervalMs: 3_600_000 },
        crashPoint: (point) => {
          if (point !== crashAt) return;
          reached.resolve();
          throw new Error(`dies at ${point}`);
        },
      });
      await reached.promise;
      await victim.stop();

      const next = startExecutor(gateway);
      await expect.poll(() => stateOf(orderId), { timeout: 15_000, interval: 20 }).toBe('PAID');
      await next.stop();
      const { order, events, attempts } = await stored(orderId);
      expect(order.version).toBe(3);
      expect(events.map((event) => event.version)).toEqual([1, 2, 3]);
      expect(attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED' }]);
      const charges = (await simulator.ledger()).filter((entry) => entry.reference === orderId);
      expect(charges).toMatchObject([{ outcome: 'captured' }]);
    },
  );
});
