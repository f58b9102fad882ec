import { describe, expect, test } from 'vitest';
import { createEnvironment } from '../../src/deploy/environment.ts';
import { checkSettings } from '../../src/deploy/settings-policies.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';
import { type Change, changed, copyOf, rulesOf } from './manifests.ts';

const settingsCases: [what: string, change: Change, expected: string][] = [
  [
    'an unknown setting',
    changed('ConfigMap', 'outbox-relay', (o) => Object.assign(o.data, { RELAY_LEASES_MS: '1' })),
    'settings: outbox-relay: outbox-relay knows no setting RELAY_LEASES_MS',
  ],
  [
    "another app's setting",
    changed('ConfigMap', 'order-api', (o) => Object.assign(o.data, { GATEWAY_URL: 'http://a' })),
    'settings: order-api: order-api knows no setting GATEWAY_URL',
  ],
  [
    'an impossible value',
    changed('ConfigMap', 'outbox-relay', (o) => Object.assign(o.data, { RELAY_LEASE_MS: 'soon' })),
    'settings: outbox-relay: RELAY_LEASE_MS must be integer',
  ],
  [
    'a contradiction',
    changed('ConfigMap', 'payment-worker', (o) => Object.assign(o.data, { GATEWAY_TIMEOUT_MS: '60000' })),
    'settings: payment-worker: GATEWAY_TIMEOUT_MS must be less than PAYMENT_LEASE_MS',
  ],
  [
    'a missing setting',
    changed('ConfigMap', 'payment-worker', (o) => delete o.data?.GATEWAY_URL),
    'settings: payment-worker: GATEWAY_URL is missing',
  ],
  [
    'a setting twice',
    changed('ConfigMap', 'order-api', (o) => Object.assign(o.data, { DATABASE_URL: 'postgres://' })),
    'settings: order-api: DATABASE_URL is there twice',
  ],
  [
    'a short grace period',
    changed('Deployment', 'order-api', (o) =>
      Object.assign(o.spec.template.spec, { terminationGracePeriodSeconds: 30 }),
    ),
    'grace-period: order-api: 30 s are not more than the 30000 ms',
  ],
  [
    "Kubernetes' own grace period",
    changed('Deployment', 'order-api', (o) => delete o.spec.template.spec.terminationGracePeriodSeconds),
    'grace-period: order-api: 30 s are not more',
  ],
  [
    'another port',
    changed('ConfigMap', 'outbox-relay', (o) => Object.assign(o.data, { PROBE_PORT: '3002' })),
    "probes: outbox-relay: the app listens on 3002, which is none of the container's",
  ],
  [
    'readiness asked elsewhere',
    changed('Deployment', 'outbox-relay', (o) =>
      Object.assign(o.spec.template.spec.containers[0].readinessProbe.httpGet, { path: '/livez' }),
    ),
    'probes: outbox-relay: readinessProbe does not ask /readyz',
  ],
  [
    'no port for probes',
    changed('ConfigMap', 'outbox-relay', (o) => delete o.data?.PROBE_PORT),
    'probes: outbox-relay: the app listens on no port for probes',
  ],
];

test('a Deployment that is none of the apps is found: its settings would not be read', async () => {
  const change = changed('Deployment', 'outbox-relay', (o) => {
    o.spec.template.spec.containers[0].name = 'relay';
  });
  const found = rulesOf(
    await checkSettings(workspaceRoot, createEnvironment('production', change(copyOf('production')))),
  );
  expect(found).toEqual(['settings: relay: is none of the apps, so that nothing reads its settings']);
});

describe('a container with', () => {
  test.each(settingsCases)('%s is found', async (_, change, expected) => {
    const [, app] = expected.split(': ');
    const own = change(copyOf('production')).filter(
      ({ file, object }) => file.endsWith(`${app}.yaml`) && object.kind !== 'Job',
    );
    const found = rulesOf(await checkSettings(workspaceRoot, createEnvironment('production', own)));
    expect(found).toEqual([expect.stringContaining(expected)]);
  });
});

test('a file that a setting names must be mounted, and need not be here', async () => {
  const config = `import { readFileSync } from 'node:fs';
    export const readConfig = () => {
      const { CA_FILE = '', PROBE_PORT, SHUTDOWN_TIMEOUT_MS } = process.env;
      if (!readFileSync(CA_FILE, 'utf8').includes('BEGIN CERTIFICATE')) throw new Error('no certificate');
      return { ...process.env, PROBE_PORT: Number(PROBE_PORT), SHUTDOWN_TIMEOUT_MS };
    };`;
  const root = scratchDir({
    'apps/payment-worker/src/config.ts': config,
    'package.json': '{ "type": "module" }',
  });
  const judgeFile = (path: string) => {
    const change = changed('ConfigMap', 'payment-worker', (o) => Object.assign(o.data, { CA_FILE: path }));
    const own = change(copyOf('production')).filter(
      ({ file, object }) => file.endsWith('/payment-worker.yaml') && object.kind !== 'Job',
    );
    return checkSettings(root, createEnvironment('production', own));
  };
  expect(rulesOf(await judgeFile('/etc/orders/postgres-ca/ca.crt'))).toEqual([]);
  expect(rulesOf(await judgeFile('/etc/orders/other/ca.crt'))).toEqual([
    'settings: payment-worker: CA_FILE: nothing is mounted at /etc/orders/other/ca.crt',
  ]);
});
