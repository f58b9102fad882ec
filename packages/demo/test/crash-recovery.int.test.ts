import { describe, expect, it } from 'vitest';
import { groupCaughtUp } from '../src/records.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

const crashPoints = [
  'consumer.accept.before-commit',
  'consumer.accept.after-commit',
  'consumer.offsets.before-commit',
  'consumer.offsets.after-commit',
  'payments.claim.before-commit',
  'payments.claim.after-commit',
  'payments.call.before',
  'payments.call.after',
  'payments.record.before-commit',
  'payments.record.after-commit',
];

describe('Test 5: Crash recovery', () => {
  const system = useSystem();

  it.each(crashPoints)(
    'a worker killed at %s: the next one finishes the order, charged once',
    async (point) => {
      const { id } = (await system().placeOrder()).body;
      const victim = await system().startWorker({ env: fastWorker, killAt: point });
      expect(await victim.exited).toMatchObject({ signal: 'SIGKILL' });
      expect(await victim.reachedCrashPoint()).toBe(point);

      const worker = await system().startWorker({ env: fastWorker });
      await system().orderInState(id, 'PAID');
      await groupCaughtUp(system().kafkaBrokers, system().topic, system().consumerGroup);

      const { order, events, attempts } = await rowsOf(system(), id);
      expect(order).toEqual({ state: 'PAID', version: 3 });
      expect(events.map((event) => event.version)).toEqual([1, 2, 3]);
      expect(attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED' }]);
      expect(await system().charges(id)).toMatchObject([{ outcome: 'captured' }]);
      await worker.stop();
    },
  );

  it('a worker killed while the gateway call is in flight: the next one finds the charge and does not repeat it', async () => {
    await system().simulator.control({ latencyMs: 600 });
    const victim = await system().startWorker({ env: fastWorker });
    const { id } = (await system().placeOrder()).body;
    await expect.poll(() => system().simulator.inFlight(), { timeout: 30_000, interval: 20 }).toBe(1);
    await victim.kill();

    const worker = await system().startWorker({ env: fastWorker });
    await system().orderInState(id, 'PAID');
    expect(await rowsOf(system(), id)).toMatchObject({ order: { state: 'PAID', version: 3 } });
    expect(await system().charges(id)).toHaveLength(1);
    await system().simulator.control({ latencyMs: 20 });
    await worker.stop();
  });
});
