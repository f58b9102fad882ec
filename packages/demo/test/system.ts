import { testStack, uniqueName } from '@orders/dev-stack/testing';
import { afterAll, beforeAll } from 'vitest';
import { type System, startSystem } from '../src/system.ts';

/** Fast enough for tests; leases and time-outs keep their order: call < lease < key lifetime. */
export const fastWorker = {
  GATEWAY_TIMEOUT_MS: '1000',
  PAYMENT_LEASE_MS: '2500',
  PAYMENT_BACKOFF_BASE_MS: '50',
  PAYMENT_BACKOFF_MAX_MS: '200',
  PAYMENT_POLL_INTERVAL_MS: '100',
  PAYMENT_SWEEP_INTERVAL_MS: '300',
  KAFKA_SESSION_TIMEOUT_MS: '2000',
};

/** A system for the tests of one file: API and relay running unless told otherwise, the gateway approving at once. */
export function useSystem(options: { api?: boolean; relay?: boolean } = {}): () => System {
  let system: System | undefined;
  beforeAll(async () => {
    system = await startSystem({
      ...testStack(),
      name: uniqueName('e2e').replaceAll(/[^a-z0-9_]/g, '_'),
      simulator: { successRate: 1, latencyMs: 20 },
    });
    if (options.api !== false) await system.startApi();
    if (options.relay !== false) await system.startRelay();
  });
  afterAll(() => system?.close());
  return () => system as System;
}

/** The rows that tell an order's whole story. */
export async function rowsOf(system: System, orderId: string) {
  const order = await system.pool.query('select state, version from orders where id = $1', [orderId]);
  const events = await system.pool.query(
    'select version, type, event_id from order_events where order_id = $1 order by version',
    [orderId],
  );
  const attempts = await system.pool.query(
    `select a.n, a.state, a.permits from payment_attempts a join payments p on p.id = a.payment_id
     where p.order_id = $1 order by a.n`,
    [orderId],
  );
  return { order: order.rows[0], events: events.rows, attempts: attempts.rows };
}
