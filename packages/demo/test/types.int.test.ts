import { expect, it } from 'vitest';
import { headerOf, readTopic } from '../src/records.ts';
import { fastWorker, rowsOf, useSystem } from './system.ts';

const system = useSystem({ api: false, relay: false });
const env = { NODE_OPTIONS: `--import=${new URL('nonsense.ts', import.meta.url).href}` };

it('an order comes out PAID, and one FAILED, where every type is nonsense to pg in all three services', {
  timeout: 120_000,
}, async () => {
  await system().startApi({ env });
  await system().startRelay({ env });
  await system().startWorker({ env: { ...env, ...fastWorker } });
  const paid = (await system().placeOrder()).body;
  const declined = (await system().placeOrder({ paymentMethod: 'tok_sim_soft_decline' })).body;
  expect(paid).toMatchObject({ state: 'CREATED', version: 1, totalMinor: 2500 });

  expect(await system().orderInState(paid.id, 'PAID')).toMatchObject({ version: 3, totalMinor: 2500 });
  const failed = await system().orderInState(declined.id, 'FAILED');
  expect(failed).toMatchObject({ failure: { code: 'insufficient_funds', attempts: 3 } });
  expect(await rowsOf(system(), paid.id)).toMatchObject({ order: { state: 'PAID', version: 3 } });
  expect(await system().charges(paid.id)).toMatchObject([{ outcome: 'captured', amountMinor: 2500 }]);
  const types = async () =>
    (await readTopic(system().kafkaBrokers, system().topic))
      .filter((record) => headerOf(record, 'ce_subject') === paid.id)
      .map((record) => headerOf(record, 'ce_type'));
  await expect
    .poll(types, { timeout: 30_000 })
    .toEqual(['order.created.v1', 'order.payment_pending.v1', 'order.paid.v1']);
});
