import { beforeAll, describe, expect, it } from 'vitest';
import { headerOf, readTopic } from '../src/records.ts';
import type { SystemService } from '../src/services.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

const fastRelay = { RELAY_LEASE_MS: '1500', RELAY_POLL_INTERVAL_MS: '100' };

describe('Test 3: Transactional Outbox', () => {
  const system = useSystem({ api: false, relay: false });
  let api: SystemService;
  beforeAll(async () => {
    api = await system().startApi();
  });

  it.each(['relay.publish.before', 'relay.publish.after', 'relay.mark.after'])(
    'a relay killed at %s: the next one publishes what is not marked, nothing is lost, every order is PAID once',
    async (point) => {
      const placed = await Promise.all(
        Array.from({ length: 5 }, (_, i) => system().placeOrder({ customerId: `${point}-${i}` })),
      );
      const victim = await system().startRelay({ env: fastRelay, killAt: point });
      expect(await victim.exited).toMatchObject({ signal: 'SIGKILL' });
      expect(await victim.reachedCrashPoint()).toBe(point);

      const relay = await system().startRelay({ env: fastRelay });
      const worker = await system().startWorker({ env: fastWorker });
      for (const { body } of placed) await system().orderInState(body.id, 'PAID');
      await expect
        .poll(
          async () => (await system().pool.query('select 1 from outbox where published_at is null')).rowCount,
          { timeout: 30_000 },
        )
        .toBe(0);

      const records = await readTopic(system().kafkaBrokers, system().topic);
      for (const { body } of placed) {
        const ids = records
          .filter((r) => headerOf(r, 'ce_subject') === body.id)
          .map((r) => headerOf(r, 'ce_id'));
        const { order, events } = await rowsOf(system(), body.id);
        expect([...new Set(ids)]).toEqual(events.map((event) => event.event_id));
        expect(order).toEqual({ state: 'PAID', version: 3 });
        expect(await system().charges(body.id)).toHaveLength(1);
      }
      await worker.stop();
      await relay.stop();
    },
  );

  it('an API killed before its commit leaves neither order nor event; after it, both, and the repeated request is replayed', async () => {
    const count = async () => (await system().pool.query('select 1 from orders')).rowCount;
    const orders = await count();
    await api.stop();
    await system().startApi({ killAt: 'api.order.before-commit' });
    await expect(system().placeOrder({}, 'api-crash-1')).rejects.toThrow();
    expect(await count()).toBe(orders);

    await system().startApi({ killAt: 'api.order.after-commit' });
    await expect(system().placeOrder({}, 'api-crash-1')).rejects.toThrow();
    expect(await count()).toBe((orders ?? 0) + 1);

    api = await system().startApi();
    const replay = await system().placeOrder({}, 'api-crash-1');
    expect(replay.status).toBe(201);
    expect(replay.headers.get('idempotent-replayed')).toBe('true');
    expect(await count()).toBe((orders ?? 0) + 1);
    expect((await rowsOf(system(), replay.body.id)).events).toHaveLength(1);
  });
});
