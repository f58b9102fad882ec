import { describe, expect, test } from 'vitest';
import { createEnvironment } from '../../src/deploy/environment.ts';
import { checkEnvironment } from '../../src/deploy/environment-policies.ts';
import type { Manifest } from '../../src/deploy/manifests.ts';
import { checkPods } from '../../src/deploy/pod-policies.ts';
import { checkReachability } from '../../src/deploy/reachability.ts';
import { checkSettings } from '../../src/deploy/settings-policies.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { type Change, changed, copyOf, deployment, find, rulesOf, without } from './manifests.ts';

const judge = (manifests: readonly Manifest[], name = 'production') => {
  const environment = createEnvironment(name, manifests);
  return rulesOf([
    ...checkPods(environment),
    ...checkEnvironment(environment),
    ...checkReachability(environment),
  ]);
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
    'a scaler of another topic, with more workers than partitions',
    changed('ScaledObject', 'payment-worker', (o) => {
      o.spec.triggers[0].metadata.topic = 'orders.event';
      o.spec.maxReplicaCount = 40;
    }),
    'scaling: up to 40 pods',
  ],
  [
    'a scaler of another group',
    changed('ScaledObject', 'payment-worker', (o) =>
      Object.assign(o.spec.triggers[0].metadata, { consumerGroup: 'workers' }),
    ),
    'scaling: asks for consumerGroup workers, the app uses payment-worker',
  ],
  [
    'a budget of nothing',
    changed('PodDisruptionBudget', 'outbox-relay', (o) => Object.assign(o.spec, { maxUnavailable: 0 })),
    'disruption-budget: may never be down',
  ],
  [
    'a Deployment of other pods',
    changed('Deployment', 'outbox-relay', (o) =>
      Object.assign(o.spec.selector.matchLabels, { app: 'relay' }),
    ),
    'reference: does not select its own pods',
  ],
  [
    'a Service to a port that is not there',
    changed('Service', 'order-api', (o) => Object.assign(o.spec.ports[0], { targetPort: 'web' })),
    'reference: leads to port web',
  ],
  [
    'ingress on another port',
    changed('NetworkPolicy', 'order-api', (o) => Object.assign(o.spec.ingress[0].ports[0], { port: 3100 })),
    'network-policy: lets port 3100 in',
  ],
  [
    'no way to Kafka',
    changed('NetworkPolicy', 'payment-worker', (o) => {
      o.spec.egress = o.spec.egress.filter(
        (rule: { ports: { port: number }[] }) => rule.ports[0]?.port !== 9093,
      );
    }),
    'network-policy: may not go out to port 9093, which KAFKA_BROKERS names',
  ],
  [
    'no way to the database for the migration',
    changed('NetworkPolicy', 'order-api-migrate', (o) =>
      Object.assign(o.spec.egress[1].ports[0], { port: 6432 }),
    ),
    'network-policy: may not go out to port 5432, which DATABASE_URL names',
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

test.each<[what: string, change: Change, expected: string]>([
  [
    'no Secret',
    without('Secret', 'outbox-relay-database'),
    'reference: there is no Secret outbox-relay-database',
  ],
  [
    'a server that lets nobody in',
    changed('NetworkPolicy', 'kafka', (o) => Object.assign(o.spec.ingress[0].ports[0], { port: 9093 })),
    'network-policy: leads to port 9092, where no pod takes anything in',
  ],
])('development with %s is found', (_, change, expected) => {
  expect(judge(change(copyOf('dev')), 'dev')).toContainEqual(expect.stringContaining(expected));
});

describe('an environment with', () => {
  test.each(environmentCases)('%s is found', (_, change, expected) => {
    expect(judge(change(copyOf('production')))).toContainEqual(expect.stringContaining(expected));
  });
});
