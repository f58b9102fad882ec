import { describe, expect, it } from 'vitest';
import { fastWorker, rowsOf, useSystem } from './system.ts';

describe('the logs of an order', () => {
  const system = useSystem({ api: false, relay: false });

  it('carry correlation id, order id and event id from the request to the payment, and no secret', async () => {
    const api = await system().startApi();
    const relay = await system().startRelay();
    const worker = await system().startWorker({ env: fastWorker });
    const placed = await system().placeOrder({ paymentMethod: 'tok_secret_token' }, 'logs-1', {
      'x-correlation-id': 'correlation-7',
    });
    const { id: orderId } = placed.body;
    await system().orderInState(orderId, 'PAID');
    const { events } = await rowsOf(system(), orderId);

    const ids = { orderId, correlationId: 'correlation-7', eventId: events[0].event_id };
    expect(api.logs).toContainEqual(expect.objectContaining(ids));
    await expect.poll(() => worker.logs, { timeout: 10_000 }).toContainEqual(expect.objectContaining(ids));
    const everything = JSON.stringify([api.logs, relay.logs, worker.logs]);
    expect(everything).not.toContain(system().apiKey);
    expect(everything).not.toContain('tok_secret_token');
    expect(everything).not.toContain(new URL(system().databaseUrl).password);
  });
});
