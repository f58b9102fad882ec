import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PaymentExecutor } from '../src/index.ts';
import { captured, scriptedGateway, useSystem } from './system.ts';

const system = useSystem();
let executor: PaymentExecutor | undefined;
beforeEach(() => system().clear());
afterEach(() => executor?.stop());

const becomes = (orderId: string, state: string) =>
  expect.poll(() => system().stateOf(orderId), { timeout: 10_000, interval: 20 }).toBe(state);

describe('turns of an executor', () => {
  it('a tenant whose payments are all locked keeps nobody from the only slot, and is served when they are free', async () => {
    const { dueOrder, startExecutor, stateOf, whileLocked } = system();
    const gateway = scriptedGateway({ charge: () => captured() });
    const locked = await dueOrder({ tenantId: 'a' });
    const other = await dueOrder({ tenantId: 'b' });
    await whileLocked(locked, async () => {
      executor = startExecutor(gateway, { options: { concurrencyMax: 1 } });
      await becomes(other, 'PAID');
      expect(await stateOf(locked)).toBe('PAYMENT_PENDING');
    });
    await becomes(locked, 'PAID');
  });

  it('a turn that was not filled goes on behind the tenants it has seen: the last one does not wait for the backlogs', async () => {
    const { dueOrder, startExecutor, whileLocked } = system();
    // One slot becomes free at a time.
    const gateway = scriptedGateway({ charge: (_, nth) => sleep(nth * 15, captured()) });
    const backlog = ['a', 'b'].flatMap((tenantId) => Array.from({ length: 6 }, () => dueOrder({ tenantId })));
    await Promise.all(backlog);
    const locked = await dueOrder({ tenantId: 'c' });
    const last = await dueOrder({ tenantId: 'd' });
    await whileLocked(locked, async () => {
      executor = startExecutor(gateway, { options: { concurrencyMax: 3 } });
      await becomes(last, 'PAID');
    });
    const served = gateway.charged.map(({ reference }) => reference);
    expect(served.indexOf(last)).toBeLessThan(6);
  });

  it('nobody is served twice before everybody was served once, whatever the order of names in the database', async () => {
    const { db, dueOrder, startExecutor } = system();
    await sql`ALTER TABLE payments ALTER COLUMN tenant_id TYPE text COLLATE "en-x-icu"`.execute(db);
    const gateway = scriptedGateway({ charge: (_, nth) => sleep(nth * 15, captured()) });
    const tenants = ['Zeta', 'alpha', 'Beta', 'gamma', 'éclair'];
    const orders = tenants.flatMap((tenantId) => [dueOrder({ tenantId }), dueOrder({ tenantId })]);
    const tenantOf = new Map((await Promise.all(orders)).map((id, i) => [id, tenants[Math.floor(i / 2)]]));
    executor = startExecutor(gateway, { options: { concurrencyMax: 2 } });
    await expect.poll(() => gateway.charged.length, { timeout: 10_000 }).toBeGreaterThan(4);
    const served = gateway.charged.map(({ reference }) => tenantOf.get(reference));
    expect(served.slice(0, 5).sort()).toEqual([...tenants].sort());
  });
});
