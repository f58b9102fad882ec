import { describe, expect, test } from 'vitest';
import { parseManifests } from '../../src/deploy/manifests.ts';
import { createSchemaCheck } from '../../src/deploy/schemas.ts';
import { type Change, changed, copyOf } from './manifests.ts';

const check = createSchemaCheck();
const messages = (manifests: ReturnType<Change>) => manifests.flatMap(check).map(({ message }) => message);

test.each(['dev', 'production', 'examples'])('%s is valid', (folder) => {
  expect(copyOf(folder).length).toBeGreaterThan(3);
  expect(messages(copyOf(folder))).toEqual([]);
});

const cases: [what: string, change: Change, expected: string][] = [
  [
    'an unknown field deep inside',
    changed('Deployment', 'order-api', (o) => Object.assign(o.spec.template.spec, { restart: true })),
    '/spec/template/spec must NOT have additional properties (restart), says kubernetes-1.31',
  ],
  [
    'a number for a text',
    changed('ConfigMap', 'order-api', (o) => Object.assign(o.data, { PORT: 3000 })),
    '/data/PORT must be string,null, says kubernetes-1.31',
  ],
  [
    'a missing field',
    changed('Deployment', 'order-api', (o) => delete o.spec.selector),
    "/spec must have required property 'selector', says kubernetes-1.37",
  ],
  [
    'a version that is gone',
    changed('HorizontalPodAutoscaler', 'order-api', (o) =>
      Object.assign(o, { apiVersion: 'autoscaling/v2beta2' }),
    ),
    'no schema of autoscaling/v2beta2 HorizontalPodAutoscaler is held in packages/checks/schemas',
  ],
  [
    "KEDA's misspelt",
    changed('ScaledObject', 'payment-worker', (o) => Object.assign(o.spec, { maxReplicas: 3 })),
    '/spec must NOT have additional properties (maxReplicas), says keda',
  ],
  [
    "the Prometheus operator's misspelt",
    changed('PodMonitor', 'outbox-relay', (o) => Object.assign(o.spec, { endpoints: [] })),
    '/spec must NOT have additional properties (endpoints), says prometheus-operator',
  ],
];

describe('found:', () => {
  test.each(cases)('%s', (_, change, expected) => {
    expect(messages(change(copyOf('production')))).toContain(expected);
  });

  const examples: typeof cases = [
    [
      "Strimzi's partitions in words",
      changed('KafkaTopic', 'orders.events', (o) => Object.assign(o.spec, { partitions: 'twelve' })),
      '/spec/partitions must be integer, says strimzi',
    ],
    [
      'an operation that Kafka does not have',
      changed('KafkaUser', 'outbox-relay', (o) =>
        Object.assign(o.spec.authorization.acls[0], { operations: ['Publish'] }),
      ),
      '/spec/authorization/acls/0/operations/0 must be equal to one of the allowed values, says strimzi',
    ],
    [
      "CloudNativePG's misspelt",
      changed('Cluster', 'orders', (o) => Object.assign(o.spec, { replicas: 3 })),
      '/spec must NOT have additional properties (replicas), says cloudnative-pg',
    ],
  ];
  test.each(examples)('%s', (_, change, expected) => {
    expect(messages(change(copyOf('examples')))).toContain(expected);
  });
});

test('a key that is there twice, and what is no object, are found when they are read', () => {
  const twice = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { A: "1", A: "2" }\n';
  expect(parseManifests('a.yaml', twice).findings).toEqual([
    { rule: 'syntax', where: 'a.yaml', message: expect.stringContaining('Map keys must be unique') },
  ]);
  expect(parseManifests('a.yaml', 'kind: ConfigMap\n').findings).toEqual([
    { rule: 'syntax', where: 'a.yaml', message: 'is no object with apiVersion, kind and a name' },
  ]);
});
