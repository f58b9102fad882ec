import { freePort, type GatewaySimulator, startGatewaySimulator } from '@orders/dev-stack';
import { afterAll, beforeAll } from 'vitest';
import { createHttpGateway, type Gateway } from '../src/index.ts';
import { type GatewayBehaviour, gatewayContract } from '../src/testing.ts';

let simulator: GatewaySimulator;
let nobody: string;
let url: string;
beforeAll(async () => {
  simulator = await startGatewaySimulator({ successRate: 1, latencyMs: 0 });
  nobody = `http://127.0.0.1:${await freePort()}`;
  url = simulator.url;
});
afterAll(() => simulator?.stop());

const modes: Record<
  Exclude<GatewayBehaviour, 'unreachable'>,
  Parameters<GatewaySimulator['control']>[0]['mode']
> = {
  approve: 'normal',
  'decline-soft': 'decline-soft',
  'decline-hard': 'decline-hard',
  'capture-then-silence': 'timeout-after-capture',
  'capture-then-error': 'error-after-capture',
  'turn-away': 'rate-limited',
};

/** The adapter as it is; `unreachable` leads it to a port where nobody listens. */
const gateway = (): Gateway => {
  const adapter = () => createHttpGateway({ url, timeoutMs: 400 });
  return {
    capabilities: adapter().capabilities,
    charge: (request) => adapter().charge(request),
    lookup: (request) => adapter().lookup(request),
  };
};

gatewayContract('the HTTP adapter against the simulator', () => ({
  gateway: gateway(),
  async behave(behaviour) {
    url = behaviour === 'unreachable' ? nobody : simulator.url;
    if (behaviour !== 'unreachable') await simulator.control({ mode: modes[behaviour] as 'normal' });
  },
  capturesOf: async (reference) =>
    (await simulator.ledger()).filter(
      (entry) => entry.reference === reference && entry.outcome === 'captured',
    ).length,
}));
