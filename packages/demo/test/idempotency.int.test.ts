import { describe, expect, it } from 'vitest';
import { groupCaughtUp, headerOf, readTopic, redeliver } from '../src/records.ts';
import type { System } from '../src/system.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

async function createdRecord(system: System, orderId: string) {
  const records = await readTopic(system.kafkaBrokers, system.topic);
  const record = records.find(
    (candidate) =>
      headerOf(candidate, 'ce_subject') === orderId && headerOf(candidate, 'ce_type') === 'order.created.v1',
  );
  if (record === undefined) throw new Error(`order.created of ${orderId} is not on the topic`);
  return record;
}

describe('Test 2: Idempotency', () => {
  const system = useSystem();

  it('one worker given the same event again, four times and across a restart: one effect, same version, one charge', async () => {
    const { kafkaBrokers, topic, consumerGroup } = system();
    const worker = await system().startWorker({ env: fastWorker });
    const { id } = (await system().placeOrder()).body;
    await system().orderInState(id, 'PAID');
    const before = await rowsOf(system(), id);

    const record = await createdRecord(system(), id);
    for (let i = 0; i < 3; i++) await redeliver(kafkaBrokers, topic, record);
    await groupCaughtUp(kafkaBrokers, topic, consumerGroup);
    await worker.stop();
    await redeliver(kafkaBrokers, topic, record);
    const restarted = await system().startWorker({ env: fastWorker });
    await groupCaughtUp(kafkaBrokers, topic, consumerGroup);

    expect(await rowsOf(system(), id)).toEqual(before);
    expect(before.order).toEqual({ state: 'PAID', version: 3 });
    expect(await system().charges(id)).toHaveLength(1);
    await restarted.stop();
  });

  it('two workers given the same events at the same time: one effect each, same version, one charge', async () => {
    const { kafkaBrokers, topic } = system();
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) ids.push((await system().placeOrder({ customerId: `twice-${i}` })).body.id);
    // Two workers in groups of their own: each is given every record, and both accept and charge at once.
    const groups = ['first', 'second'].map((suffix) => `${topic}.${suffix}`);
    const workers = await Promise.all(
      groups.map((CONSUMER_GROUP) => system().startWorker({ env: { ...fastWorker, CONSUMER_GROUP } })),
    );
    for (const id of ids) await system().orderInState(id, 'PAID');
    for (const group of groups) await groupCaughtUp(kafkaBrokers, topic, group);

    for (const id of ids) {
      const { order, events } = await rowsOf(system(), id);
      expect(order).toEqual({ state: 'PAID', version: 3 });
      expect(events).toHaveLength(3);
      expect(await system().charges(id)).toHaveLength(1);
    }
    await Promise.all(workers.map((worker) => worker.stop()));
  });
});
