import { describe, expect, it } from 'vitest';
import { headerOf, readTopic } from '../src/records.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

describe('Test 1: Order flow', () => {
  const system = useSystem();

  it('an order goes in over HTTP and comes out PAID: version 3, one chain of events, one charge', async () => {
    const worker = await system().startWorker({ env: fastWorker });
    const placed = await system().placeOrder();
    expect(placed).toMatchObject({ status: 201, body: { state: 'CREATED', version: 1, totalMinor: 2500 } });
    const { id } = placed.body;

    expect(await system().orderInState(id, 'PAID')).toMatchObject({ version: 3 });

    const { events } = await rowsOf(system(), id);
    const types = ['order.created.v1', 'order.payment_pending.v1', 'order.paid.v1'];
    expect(events.map((event) => [event.version, event.type])).toEqual(types.map((type, i) => [i + 1, type]));
    expect(await system().charges(id)).toMatchObject([
      { outcome: 'captured', amountMinor: 2500, currency: 'EUR' },
    ]);

    // I3: what the history says is what the topic says, in the same order.
    await expect
      .poll(
        async () => {
          const records = await readTopic(system().kafkaBrokers, system().topic);
          const own = records.filter((record) => headerOf(record, 'ce_subject') === id);
          return own.map((record) => headerOf(record, 'ce_id'));
        },
        { timeout: 30_000 },
      )
      .toEqual(events.map((event) => event.event_id));
    await worker.stop();
  });

  it('many orders of several customers all end PAID, each charged once', async () => {
    const worker = await system().startWorker({ env: fastWorker });
    const placed = await Promise.all(
      Array.from({ length: 60 }, (_, i) => system().placeOrder({ customerId: `customer-${i % 7}` })),
    );
    expect(placed.map((answer) => answer.status)).toEqual(placed.map(() => 201));
    for (const { body } of placed) {
      expect(await system().orderInState(body.id, 'PAID')).toMatchObject({ version: 3 });
      expect(await system().charges(body.id)).toHaveLength(1);
    }
    await worker.stop();
  });
});
