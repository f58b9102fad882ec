import { readNonsense } from '@orders/dev-stack/nonsense-types';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { captured, hardDecline, useSystem } from './system.ts';

// Somebody in the process has told pg to read every type as nonsense. A vitest file has a process of its own.
const system = useSystem();
let endNonsense: () => void;
beforeAll(() => {
  endNonsense = readNonsense();
});
afterAll(() => endNonsense?.());

it('orders are created, payments claimed and outcomes recorded, whatever pg was told in this process', async () => {
  const { dueOrder, claimed, record, stored, sweepOnce, loseLease } = system();
  const paidId = await dueOrder();
  const first = await claimed(paidId);
  expect(first).toMatchObject({ orderId: paidId, n: 1 });
  await loseLease(paidId);
  await system().wakeAll();
  await record(await claimed(paidId), captured('ch_1'));
  const paid = await stored(paidId);
  expect(paid.order).toMatchObject({
    state: 'PAID',
    version: 3,
    total_minor: 500,
    created_at: expect.any(Date),
  });
  expect(paid.payment).toMatchObject({ state: 'CAPTURED', lease_until: null });
  expect(paid.attempts).toMatchObject([{ n: 1, state: 'SUCCEEDED', charge_id: 'ch_1' }]);
  expect(paid.events.map(({ version, type }) => [version, type])).toEqual([
    [1, 'order.created.v1'],
    [2, 'order.payment_pending.v1'],
    [3, 'order.paid.v1'],
  ]);

  const declinedId = await dueOrder();
  await record(await claimed(declinedId), hardDecline);
  expect((await stored(declinedId)).order).toMatchObject({ state: 'FAILED', failure_code: 'stolen_card' });
  await sweepOnce();
});
