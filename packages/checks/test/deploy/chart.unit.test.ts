import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { stringify } from 'yaml';
import { runHelm } from '../../src/deploy/helm.ts';
import { parseManifests } from '../../src/deploy/manifests.ts';
import { createSchemaCheck } from '../../src/deploy/schemas.ts';
import { workspaceRoot } from '../../src/workspace.ts';
import { scratchDir } from '../scratch.ts';
import { find, type Malleable } from './manifests.ts';

const found = inject('helm');
const helm = found.kind === 'found' ? found.command : '';
const skipped = found.kind === 'missing' ? ` (skipped: ${found.reason})` : '';

/** What helm makes of the chart with an app's values for production and these on top, or its complaint. */
async function render(
  more: object,
  app = 'order-api',
  environment = 'values.production.yaml',
): Promise<{ manifests: Malleable[]; complaint: string }> {
  const overlay = join(scratchDir({ 'values.yaml': stringify(more) }), 'values.yaml');
  const values = ['values.yaml', environment].map((name) => join(workspaceRoot, 'apps', app, 'helm', name));
  const files = [...values, overlay].flatMap((path) => ['--values', path]);
  const chart = join(workspaceRoot, 'infra/helm/service');
  const { status, stdout, stderr } = await runHelm(helm, [
    'template',
    app,
    chart,
    '--namespace',
    'orders',
    ...files,
  ]);
  return { manifests: parseManifests(app, stdout).manifests, complaint: status === 0 ? '' : stderr };
}

const kindsOf = (manifests: readonly Malleable[]) => manifests.map(({ object }) => object.kind);

describe.skipIf(skipped !== '')(`the chart${skipped}`, () => {
  test('says replicas only where nothing scales them', async () => {
    const fixed = await render({ autoscaling: { kind: 'none' }, replicas: 4 });
    expect(find(fixed.manifests, 'Deployment', 'order-api').object.spec.replicas).toBe(4);
    expect(kindsOf(fixed.manifests)).not.toContain('HorizontalPodAutoscaler');
    const scaled = await render({ replicas: 4 });
    expect(find(scaled.manifests, 'Deployment', 'order-api').object.spec).not.toHaveProperty('replicas');
    expect(find(scaled.manifests, 'HorizontalPodAutoscaler', 'order-api').object.spec).toMatchObject({
      scaleTargetRef: { kind: 'Deployment', name: 'order-api' },
      minReplicas: 3,
      maxReplicas: 10,
    });
  });

  test("lets KEDA ask Kafka with the app's own identity", async () => {
    const secretEnv = {
      KAFKA_SASL_USERNAME: { secret: 'payment-worker-kafka', key: 'username' },
      KAFKA_SASL_PASSWORD: { secret: 'payment-worker-kafka', key: 'password' },
    };
    const values = {
      env: { KAFKA_TLS: 'true' },
      secretEnv,
      certificates: { 'kafka-ca': { configMap: 'kafka-ca' } },
    };
    const { manifests } = await render(values, 'payment-worker');
    expect(manifests.flatMap(createSchemaCheck())).toEqual([]);
    expect(find(manifests, 'ScaledObject', 'payment-worker').object.spec.triggers[0]).toMatchObject({
      metadata: {
        consumerGroup: 'payment-worker',
        topic: 'orders.events',
        tls: 'enable',
        sasl: 'scram_sha512',
      },
      authenticationRef: { name: 'payment-worker' },
    });
    expect(find(manifests, 'TriggerAuthentication', 'payment-worker').object.spec).toEqual({
      secretTargetRef: [
        { parameter: 'username', name: 'payment-worker-kafka', key: 'username' },
        { parameter: 'password', name: 'payment-worker-kafka', key: 'password' },
      ],
      configMapTargetRef: [{ parameter: 'ca', name: 'kafka-ca', key: 'ca.crt' }],
    });
  });

  test('KEDA asks as the app does: topic, group and authority; and needs no identity where the app has none', async () => {
    const other = await render(
      {
        env: {
          CONSUMER_GROUP: 'workers',
          ORDERS_TOPIC: 'orders.v2',
          KAFKA_CA_FILE: '/etc/orders/msk/ca.crt',
        },
        certificates: { msk: { configMap: 'msk-ca' } },
      },
      'payment-worker',
    );
    const [trigger] = find(other.manifests, 'ScaledObject', 'payment-worker').object.spec.triggers;
    expect(trigger.metadata).toMatchObject({ consumerGroup: 'workers', topic: 'orders.v2' });
    expect(
      find(other.manifests, 'TriggerAuthentication', 'payment-worker').object.spec.configMapTargetRef,
    ).toEqual([{ parameter: 'ca', name: 'msk-ca', key: 'ca.crt' }]);
    const dangling = await render({ env: { KAFKA_CA_FILE: '/etc/orders/msk/ca.crt' } }, 'payment-worker');
    expect(dangling.complaint).toContain('certificates has no msk');
    const values = { autoscaling: { kind: 'kafkaLag' } };
    const plain = await render(values, 'payment-worker', 'values.dev.yaml');
    expect(kindsOf(plain.manifests)).toContain('ScaledObject');
    expect(kindsOf(plain.manifests)).not.toContain('TriggerAuthentication');
  });

  test.each([
    ['hook', { 'helm.sh/hook': 'pre-install,pre-upgrade', 'helm.sh/hook-weight': '-1' }],
    ['argo', { 'argocd.argoproj.io/hook': 'PreSync', 'argocd.argoproj.io/sync-wave': '-1' }],
  ])('runs the migration as a hook: %s, after its network policy', async (mode, annotations) => {
    const { manifests } = await render({ migration: { mode } });
    const job = find(manifests, 'Job', 'order-api-migrate').object;
    expect(job.metadata.annotations).toMatchObject(annotations);
    const policy = find(manifests, 'NetworkPolicy', 'order-api-migrate').object;
    expect(Object.values(policy.metadata.annotations)).toContain('-2');
    // It runs before anything else of the release is there.
    expect(job.spec.template.spec.serviceAccountName).toBeUndefined();
    expect(JSON.stringify(job)).not.toContain('configMapRef');
  });

  test('runs it as a plain Job, or not at all', async () => {
    const plain = await render({ migration: { mode: 'job' } });
    expect(find(plain.manifests, 'Job', 'order-api-migrate').object.metadata.annotations).toBeUndefined();
    expect(kindsOf((await render({ migration: { mode: 'none' } })).manifests)).not.toContain('Job');
  });

  test('whatever changes the pod of a Job makes another Job', async () => {
    const jobOf = async (more: object) =>
      find((await render(more)).manifests, 'Job', 'order-api-migrate').object.metadata.name;
    const name = await jobOf({});
    expect(await jobOf({ env: { LOG_LEVEL: 'debug' } })).toBe(name);
    for (const more of [{ imagePullSecrets: [{ name: 'pull' }] }, { image: { pullPolicy: 'Always' } }])
      expect(await jobOf(more)).not.toBe(name);
  });

  test('another image is another Job, and another setting another rollout', async () => {
    const [one, other] = [
      await render({}),
      await render({ image: { tag: '0.2.0' }, env: { LOG_LEVEL: 'debug' } }),
    ];
    const jobOf = (manifests: Malleable[]) =>
      find(manifests, 'Job', 'order-api-migrate').object.metadata.name;
    expect(jobOf(one.manifests)).not.toBe(jobOf(other.manifests));
    const settingsOf = (manifests: Malleable[]) =>
      find(manifests, 'Deployment', 'order-api').object.spec.template.metadata.annotations['orders/settings'];
    expect(settingsOf(one.manifests)).not.toBe(settingsOf(other.manifests));
  });

  test('waits for the drain by itself, and longer if told so', async () => {
    const graceOf = async (more: object) =>
      find((await render(more)).manifests, 'Deployment', 'order-api').object.spec.template.spec
        .terminationGracePeriodSeconds;
    expect(await graceOf({ env: { SHUTDOWN_TIMEOUT_MS: '40000', DRAIN_DELAY_MS: '2500' } })).toBe(48);
    expect(await graceOf({ terminationGracePeriodSeconds: 90 })).toBe(90);
  });

  const digest = `sha256:${'0'.repeat(64)}`;
  test('prefers a digest to a tag', async () => {
    const { manifests } = await render({ image: { digest } });
    const [container] = find(manifests, 'Deployment', 'order-api').object.spec.template.spec.containers;
    expect(container.image).toBe(`registry.example.com/orders/order-api@${digest}`);
  });

  test.each<[string, object, string, string?]>([
    ['a grace period shorter than the drain', { terminationGracePeriodSeconds: 30 }, 'the drain needs 35'],
    [
      'more workers than partitions',
      { autoscaling: { maxReplicas: 13 } },
      'the topic has 12 partitions',
      'payment-worker',
    ],
    ['no worker', { autoscaling: { minReplicas: 0 } }, "at '/autoscaling/minReplicas'", 'payment-worker'],
    [
      'a setting that is a Secret, too',
      { env: { A: 'b' }, secretEnv: { A: { secret: 'a', key: 'b' } } },
      'A is in env and in secretEnv',
    ],
    ['the port as a setting', { env: { PORT: '1' } }, 'the port is said by the value port'],
    [
      'a password in plain sight',
      { env: { DATABASE_URL: 'postgres://' } },
      "invalid propertyName 'DATABASE_URL'",
    ],
    [
      'a number that YAML would write otherwise',
      { env: { RELAY_RETENTION_MS: 604800000 } },
      "at '/env/RELAY_RETENTION_MS'",
    ],
    ['an unknown value', { replica: 2 }, "additional properties 'replica' not allowed"],
    ['an unknown value inside', { migration: { image: 'a' } }, "additional properties 'image' not allowed"],
    ['latest', { image: { tag: 'latest' } }, "at '/image/tag'"],
    ['no tag', { image: { tag: '' } }, "at '/image'"],
    [
      'a rule for everyone',
      { networkPolicy: { egress: { postgres: { port: 1, peers: [] } } } },
      "at '/networkPolicy/egress/postgres/peers'",
    ],
    ['an unknown mode', { migration: { mode: 'sometimes' } }, "at '/migration/mode'"],
    ['no limits', { resources: { limits: null } }, "at '/resources'"],
  ])('refuses %s', async (_, values, complaint, app) => {
    const rendered = await render(values, app);
    expect(rendered.complaint).toContain(complaint);
    expect(rendered.manifests).toEqual([]);
  });
});
