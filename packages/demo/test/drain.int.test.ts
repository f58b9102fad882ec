import { describe, expect, it } from 'vitest';
import type { SystemService } from '../src/services.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

describe('SIGTERM under load', () => {
  const system = useSystem({ api: false, relay: false });

  it('loses nothing: all three services are restarted while orders flow, every accepted order is PAID and charged once', {
    timeout: 180_000,
  }, async () => {
    const start = {
      api: () => system().startApi(),
      relay: () => system().startRelay(),
      worker: () => system().startWorker({ env: fastWorker }),
    };
    const running: Record<string, SystemService> = {};
    for (const [name, startOne] of Object.entries(start)) running[name] = await startOne();

    const accepted: string[] = [];
    let stopped = false;
    const client = async (n: number) => {
      for (let i = 0; !stopped; i++) {
        // While the API restarts a connection is refused; the client repeats with the same key, as clients do.
        const key = `load-${n}-${i}`;
        for (;;) {
          const answer = await system()
            .placeOrder({ customerId: `load-${n}` }, key)
            .catch(() => null);
          if (answer?.status === 201) {
            accepted.push(answer.body.id);
            break;
          }
          expect([null, 409, 503]).toContain(answer?.status ?? null);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    const clients = [1, 2, 3, 4].map(client);
    for (const [name, startOne] of Object.entries(start)) {
      const before = accepted.length;
      await expect.poll(() => accepted.length, { timeout: 30_000 }).toBeGreaterThan(before + 20);
      const exit = await (running[name] as SystemService).stop('SIGTERM');
      expect({ name, ...exit }).toEqual({ name, code: 0, signal: null });
      running[name] = await startOne();
    }
    stopped = true;
    await Promise.all(clients);

    expect(accepted.length).toBeGreaterThan(60);
    for (const id of accepted) {
      await system().orderInState(id, 'PAID');
      expect((await rowsOf(system(), id)).order).toEqual({ state: 'PAID', version: 3 });
      expect(await system().charges(id)).toHaveLength(1);
    }
  });
});
