import { describe, expect, test } from 'vitest';
import { createEnvironment } from '../../src/deploy/environment.ts';
import { checkEnvironment } from '../../src/deploy/environment-policies.ts';
import type { Manifest } from '../../src/deploy/manifests.ts';
import { checkPods } from '../../src/deploy/pod-policies.ts';
import { checkSettings } from '../../src/deploy/settings-policies.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';
import { type Change, changed, copyOf, deployment, find, without } from './manifests.ts';

const rulesOf = (findings: readonly { rule: string; message: string }[]) =>
  findings.map(({ rule, message }) => `${rule}: ${message}`);

const judge = (manifests: readonly Manifest[], name = 'production') => {
  const environment = createEnvironment(name, manifests);
  return rulesOf([...checkPods(environment), ...checkEnvironment(environment)]);
};

test.each(['dev', 'production'])('what is deployed to %s holds', async (name) => {
  const environment = createEnvironment(name, copyOf(name));
  expect(environment.workloads.length).toBeGreaterThan(5);
  expect(judge(copyOf(name), name)).toEqual([]);
  expect(rulesOf(await checkSettings(workspaceRoot, environment))).toEqual([]);
});

/** A change of production's relay that must be found. */
const podCases: [what: string, change: (relay: ReturnType<typeof deployment>) => void, expected: string][] = [
  ['root', ({ pod }) => delete pod.securityContext?.runAsNonRoot, 'pod-security: outbox-relay: runAsNonRoot'],
  [
    'user 0',
    ({ pod }) => Object.assign(pod.securityContext ?? {}, { runAsUser: 0 }),
    'pod-security: outbox-relay: runAsNonRoot',
  ],
  [
    'no seccomp profile',
    ({ pod }) => delete pod.securityContext?.seccompProfile,
    'pod-security: outbox-relay: seccompProfile',
  ],
  [
    'a writable root',
    ({ own }) => Object.assign(own.securityContext ?? {}, { readOnlyRootFilesystem: false }),
    'read-only: outbox-relay',
  ],
  [
    'privilege escalation',
    ({ own }) => delete own.securityContext?.allowPrivilegeEscalation,
    'pod-security: outbox-relay: allowPrivilegeEscalation',
  ],
  [
    'a privileged container',
    ({ own }) => Object.assign(own.securityContext ?? {}, { privileged: true }),
    'pod-security: outbox-relay: is privileged',
  ],
  [
    'capabilities',
    ({ own }) => Object.assign(own.securityContext ?? {}, { capabilities: { drop: ['NET_RAW'] } }),
    'pod-security: outbox-relay: does not drop ALL',
  ],
  [
    'an added capability',
    ({ own }) => Object.assign(own.securityContext?.capabilities ?? {}, { add: ['NET_ADMIN'] }),
    'pod-security: outbox-relay: does not drop ALL',
  ],
  [
    "the node's network",
    ({ pod }) => Object.assign(pod, { hostNetwork: true }),
    'pod-security: hostNetwork is set',
  ],
  [
    "the node's files",
    ({ pod }) => pod.volumes?.push({ name: 'node', hostPath: { path: '/' } }),
    'pod-security: the volume node is a hostPath',
  ],
  [
    'a token of the API',
    ({ pod }) => delete pod.automountServiceAccountToken,
    'service-account: automountServiceAccountToken is not false',
  ],
  [
    'latest',
    ({ own }) => Object.assign(own, { image: 'orders/outbox-relay:latest' }),
    'image: outbox-relay: the image "orders/outbox-relay:latest"',
  ],
  [
    'no tag',
    ({ own }) => Object.assign(own, { image: 'registry:5000/orders/outbox-relay' }),
    'image: outbox-relay: the image "registry:5000/orders/outbox-relay"',
  ],
  [
    'no limit of memory',
    ({ own }) => delete own.resources?.limits?.memory,
    'resources: outbox-relay: resources.limits.memory is missing',
  ],
  [
    'no request of CPU',
    ({ own }) => delete own.resources?.requests?.cpu,
    'resources: outbox-relay: resources.requests.cpu is missing',
  ],
  ['no startup probe', ({ own }) => delete own.startupProbe, 'probes: outbox-relay: has no startupProbe'],
  ['no liveness probe', ({ own }) => delete own.livenessProbe, 'probes: outbox-relay: has no livenessProbe'],
  [
    'no readiness probe',
    ({ own }) => delete own.readinessProbe,
    'probes: outbox-relay: has no readinessProbe',
  ],
  [
    'a probe of another port',
    ({ own }) => Object.assign(own.readinessProbe?.httpGet ?? {}, { port: 3000 }),
    'probes: outbox-relay: readinessProbe asks port 3000',
  ],
];

describe('a pod with', () => {
  test.each(podCases)('%s is found', (_, change, expected) => {
    const manifests = copyOf('production');
    change(deployment(manifests, 'outbox-relay'));
    expect(judge(manifests)).toEqual([expect.stringContaining(expected)]);
  });
});

test("a Job's containers are judged like others, its probes are not asked for", () => {
  const manifests = copyOf('dev');
  const job = find(manifests, 'Job', 'order-api-migrate');
  const { initContainers = [] } = job.object.spec.template.spec;
  initContainers[0].image = 'orders/order-api';
  expect(judge(manifests, 'dev')).toEqual([
    'image: migrate: the image "orders/order-api" has neither a digest nor a tag that stays: not latest',
  ]);
});

const environmentCases: [what: string, change: Change, expected: string][] = [
  ['no namespace', without('Namespace', 'orders'), 'namespace: has not one Namespace'],
  [
    'a lax namespace',
    changed('Namespace', 'orders', (o) => delete o.metadata.labels),
    'namespace: does not enforce',
  ],
  [
    'an object elsewhere',
    changed('Service', 'order-api', (o) => Object.assign(o.metadata, { namespace: 'default' })),
    'namespace: is not in the namespace orders',
  ],
  [
    'a workload without a policy',
    without('NetworkPolicy', 'outbox-relay'),
    'network-policy: no NetworkPolicy of its own limits its Ingress',
  ],
  [
    'free egress',
    changed('NetworkPolicy', 'outbox-relay', (o) => Object.assign(o.spec, { policyTypes: ['Ingress'] })),
    'network-policy: no NetworkPolicy of its own limits its Egress',
  ],
  [
    'egress to everywhere',
    changed('NetworkPolicy', 'outbox-relay', (o) => o.spec.egress.push({ ports: [{ port: 443 }] })),
    'network-policy: has a rule that names no peers',
  ],
  [
    'ingress on every port',
    changed('NetworkPolicy', 'order-api', (o) => delete o.spec.ingress[0].ports),
    'network-policy: has a rule that names no peers or no ports',
  ],
  [
    'no default',
    without('NetworkPolicy', 'default-deny'),
    'network-policy: has no NetworkPolicy that denies all',
  ],
  [
    'a missing ConfigMap',
    without('ConfigMap', 'outbox-relay'),
    'reference: there is no ConfigMap outbox-relay',
  ],
  [
    'a missing ServiceAccount',
    without('ServiceAccount', 'outbox-relay'),
    'reference: there is no ServiceAccount outbox-relay',
  ],
  [
    'a Service of nobody',
    changed('Service', 'order-api', (o) =>
      Object.assign(o.spec.selector, { 'app.kubernetes.io/name': 'api' }),
    ),
    'reference: selects no pod',
  ],
  [
    'no disruption budget',
    without('PodDisruptionBudget', 'outbox-relay'),
    'disruption-budget: has no PodDisruptionBudget',
  ],
  [
    "replicas beside the HPA's",
    changed('Deployment', 'order-api', (o) => Object.assign(o.spec, { replicas: 3 })),
    "replicas: says replicas, which are HorizontalPodAutoscaler's",
  ],
  [
    "replicas beside KEDA's",
    changed('Deployment', 'payment-worker', (o) => Object.assign(o.spec, { replicas: 3 })),
    "replicas: says replicas, which are ScaledObject's",
  ],
  [
    'no replicas at all',
    changed('Deployment', 'outbox-relay', (o) => delete o.spec.replicas),
    'replicas: nothing says how many',
  ],
  [
    'more workers than partitions',
    changed('ScaledObject', 'payment-worker', (o) => Object.assign(o.spec, { maxReplicaCount: 13 })),
    'scaling: up to 13 pods for the 12 partitions of orders.events',
  ],
  [
    "KEDA's default of 100 workers",
    changed('ScaledObject', 'payment-worker', (o) => delete o.spec.maxReplicaCount),
    'scaling: up to 100 pods',
  ],
  [
    'no worker',
    changed('ScaledObject', 'payment-worker', (o) => Object.assign(o.spec, { minReplicaCount: 0 })),
    'scaling: may go down to no pod',
  ],
  [
    'a scaler of nothing',
    changed('ScaledObject', 'payment-worker', (o) =>
      Object.assign(o.spec.scaleTargetRef, { name: 'worker' }),
    ),
    'scaling: there is no worker',
  ],
  [
    'the same object twice',
    (manifests) => [...manifests, find(manifests, 'Service', 'order-api')],
    'double: is in infra/k8s/production/order-api.yaml, too',
  ],
  ['a Secret', (manifests) => [...manifests, secret], 'secret: a Secret must not be in the repository'],
];

const secret: Manifest = {
  file: 'infra/k8s/production/secret.yaml',
  object: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'key', namespace: 'orders' } },
};

describe('an environment with', () => {
  test.each(environmentCases)('%s is found', (_, change, expected) => {
    expect(judge(change(copyOf('production')))).toContainEqual(expect.stringContaining(expected));
  });
});

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
    'no port for probes',
    changed('ConfigMap', 'outbox-relay', (o) => delete o.data?.PROBE_PORT),
    'probes: outbox-relay: the app listens on no port for probes',
  ],
];

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
