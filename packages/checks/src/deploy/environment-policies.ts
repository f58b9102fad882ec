import { ordersTopic } from '@orders/events';
import type { Finding } from '../finding.ts';
import { type Environment, ofKind } from './environment.ts';
import { type Manifest, whereIs } from './manifests.ts';
import { settingsOf } from './settings.ts';
import { selects, type Workload } from './workloads.ts';

/** What holds between the objects of an environment. */
export function checkEnvironment(environment: Environment): Finding[] {
  return [
    ...doubles(environment),
    ...namespaces(environment),
    ...secrets(environment),
    ...environment.workloads.flatMap((workload) => [
      ...isolation(environment, workload),
      ...references(environment, workload),
      ...(workload.kind === 'Deployment' ? budget(environment, workload) : []),
    ]),
    ...openPolicies(environment),
    ...scaling(environment),
    ...services(environment),
  ];
}

const finding = (rule: string, manifest: Manifest, message: string): Finding => ({
  rule,
  where: whereIs(manifest),
  message,
});

/** Of two objects with one name the later one would win silently. */
function doubles({ manifests }: Environment): Finding[] {
  const seen = new Map<string, string>();
  return manifests.flatMap((manifest) => {
    const { apiVersion, kind, metadata } = manifest.object;
    const id = `${apiVersion} ${kind} ${metadata.namespace} ${metadata.name}`;
    const first = seen.get(id);
    if (first === undefined) seen.set(id, manifest.file);
    return first === undefined ? [] : [finding('double', manifest, `is in ${first}, too`)];
  });
}

function namespaces(environment: Environment): Finding[] {
  const [namespace, ...more] = ofKind(environment, 'Namespace');
  const where = `infra/k8s/${environment.name}`;
  if (namespace === undefined || more.length > 0)
    return [{ rule: 'namespace', where, message: 'has not one Namespace' }];
  const findings: Finding[] = [];
  const { name, labels } = namespace.object.metadata;
  if (labels?.['pod-security.kubernetes.io/enforce'] !== 'restricted')
    findings.push(finding('namespace', namespace, 'does not enforce the restricted Pod Security Standard'));
  for (const manifest of environment.manifests)
    if (manifest !== namespace && manifest.object.metadata.namespace !== name)
      findings.push(finding('namespace', manifest, `is not in the namespace ${name}`));
  return findings;
}

/** Secrets come from where secrets are kept; those of development are worth nothing. */
const secrets = (environment: Environment): Finding[] =>
  environment.name === 'dev'
    ? []
    : ofKind(environment, 'Secret').map((secret) =>
        finding('secret', secret, 'a Secret must not be in the repository'),
      );

interface PolicySpec {
  podSelector?: { matchLabels?: Record<string, string> };
  policyTypes?: string[];
  ingress?: { from?: object[]; ports?: object[] }[];
  egress?: { to?: object[]; ports?: object[] }[];
}
const policySpec = (manifest: Manifest) => manifest.object.spec as PolicySpec;

/** Each workload has a policy of its own kind, so that nothing but what it names goes in or out. */
function isolation(environment: Environment, { manifest, labels }: Workload): Finding[] {
  const own = ofKind(environment, 'NetworkPolicy')
    .map(policySpec)
    .filter(({ podSelector }) => podSelector?.matchLabels !== undefined && selects(podSelector, labels));
  return ['Ingress', 'Egress']
    .filter((type) => !own.some(({ policyTypes }) => policyTypes?.includes(type)))
    .map((type) => finding('network-policy', manifest, `no NetworkPolicy of its own limits its ${type}`));
}

/** A rule without peers or ports allows all of them. */
function openPolicies(environment: Environment): Finding[] {
  const policies = ofKind(environment, 'NetworkPolicy');
  const open = policies.flatMap((manifest) => {
    const { ingress = [], egress = [] } = policySpec(manifest);
    const rules = [
      ...ingress.map(({ from, ports }) => ({ peers: from, ports })),
      ...egress.map(({ to, ports }) => ({ peers: to, ports })),
    ];
    return rules
      .filter(({ peers, ports }) => !peers?.length || !ports?.length)
      .map(() =>
        finding('network-policy', manifest, 'has a rule that names no peers or no ports: it allows all'),
      );
  });
  const deniesAll = ({ podSelector, policyTypes, ingress, egress }: PolicySpec) =>
    Object.keys(podSelector ?? {}).length === 0 && policyTypes?.length === 2 && !ingress && !egress;
  if (policies.some((manifest) => deniesAll(policySpec(manifest)))) return open;
  const where = `infra/k8s/${environment.name}`;
  return [
    ...open,
    { rule: 'network-policy', where, message: 'has no NetworkPolicy that denies all by default' },
  ];
}

/** What a pod refers to and the environment must hold: no CAs, and Secrets only where any are in the repository. */
function references(environment: Environment, { manifest, pod, containers, labels }: Workload): Finding[] {
  const has = (kind: string, name: string) =>
    ofKind(environment, kind).some(({ object }) => object.metadata.name === name);
  const wanted = containers.flatMap(({ envFrom = [] }) =>
    envFrom.map(({ configMapRef }) => configMapRef?.name),
  );
  const missing = wanted.filter((name) => name !== undefined && !has('ConfigMap', name));
  const findings = missing.map((name) => finding('reference', manifest, `there is no ConfigMap ${name}`));
  const secretsHere = ofKind(environment, 'Secret').length > 0;
  const secrets = containers.flatMap(({ env = [] }) =>
    env.map(({ valueFrom }) => valueFrom?.secretKeyRef?.name),
  );
  for (const name of new Set(secrets))
    if (secretsHere && name !== undefined && !has('Secret', name))
      findings.push(finding('reference', manifest, `there is no Secret ${name}`));
  const { selector } = manifest.object.spec as { selector?: { matchLabels?: Record<string, string> } };
  if (!selects(selector, labels))
    findings.push(finding('reference', manifest, 'does not select its own pods'));
  const { serviceAccountName: account } = pod;
  if (account !== undefined && !has('ServiceAccount', account))
    findings.push(finding('reference', manifest, `there is no ServiceAccount ${account}`));
  return findings;
}

function budget(environment: Environment, { manifest, labels }: Workload): Finding[] {
  const budgets = ofKind(environment, 'PodDisruptionBudget').map(budgetSpec);
  const own = budgets.find(({ selector }) => selects(selector, labels));
  if (own !== undefined && parseInt(String(own.maxUnavailable ?? 1), 10) === 0)
    return [finding('disruption-budget', manifest, 'may never be down, so that no node can be drained')];
  if (own !== undefined) return [];
  return [finding('disruption-budget', manifest, 'has no PodDisruptionBudget')];
}

const budgetSpec = (manifest: Manifest) =>
  manifest.object.spec as {
    selector?: { matchLabels?: Record<string, string> };
    maxUnavailable?: number | string;
  };

interface ScalerSpec {
  scaleTargetRef: { name: string };
  minReplicas?: number;
  minReplicaCount?: number;
  maxReplicaCount?: number;
  triggers?: { type: string; metadata: Record<string, string> }[];
}

/** `replicas` has one owner, and no worker waits for a partition that is not there. */
function scaling(environment: Environment): Finding[] {
  const findings: Finding[] = [];
  const owners = new Map<string, string>();
  for (const scaler of environment.manifests) {
    const { kind } = scaler.object;
    if (kind !== 'HorizontalPodAutoscaler' && kind !== 'ScaledObject') continue;
    const spec = scaler.object.spec as ScalerSpec;
    const target = environment.workloads.find(({ name }) => name === spec.scaleTargetRef.name);
    const twice = owners.get(spec.scaleTargetRef.name);
    if (target === undefined)
      findings.push(finding('scaling', scaler, `there is no ${spec.scaleTargetRef.name}`));
    if (twice) findings.push(finding('scaling', scaler, `${twice} scales ${spec.scaleTargetRef.name}, too`));
    owners.set(spec.scaleTargetRef.name, kind);
    if (target?.replicas !== undefined)
      findings.push(finding('replicas', target.manifest, `says replicas, which are ${kind}'s`));
    if (kind === 'ScaledObject') findings.push(...lagProblems(environment, scaler, spec, target));
  }
  for (const { kind, name, manifest, replicas } of environment.workloads)
    if (kind !== 'Job' && !owners.has(name) && replicas === undefined)
      findings.push(finding('replicas', manifest, 'nothing says how many'));
  return findings;
}

function lagProblems(
  environment: Environment,
  scaler: Manifest,
  { minReplicaCount = 0, maxReplicaCount = 100, triggers = [] }: ScalerSpec,
  target: Workload | undefined,
) {
  const { name, partitions } = ordersTopic;
  const findings: Finding[] = [];
  if (minReplicaCount < 1)
    findings.push(finding('scaling', scaler, 'may go down to no pod, but what is due again shows as no lag'));
  const asked = triggers.filter(({ type }) => type === 'kafka').map(({ metadata }) => metadata);
  if (asked.length > 0 && maxReplicaCount > partitions)
    findings.push(
      finding('scaling', scaler, `up to ${maxReplicaCount} pods for the ${partitions} partitions of ${name}`),
    );
  const [container] = target?.containers.slice(-1) ?? [];
  if (container === undefined) return findings;
  const { settings } = settingsOf(environment, container);
  const {
    KAFKA_BROKERS: bootstrapServers,
    CONSUMER_GROUP: consumerGroup,
    ORDERS_TOPIC: topic = name,
  } = settings;
  for (const metadata of asked)
    for (const [field, value] of Object.entries({ bootstrapServers, consumerGroup, topic }))
      if (metadata[field] !== value)
        findings.push(
          finding('scaling', scaler, `asks for ${field} ${metadata[field]}, the app uses ${value}`),
        );
  return findings;
}

function services(environment: Environment): Finding[] {
  return ofKind(environment, 'Service').flatMap((manifest) => {
    const { selector } = manifest.object.spec as { selector?: Record<string, string> };
    const chosen = environment.workloads.some(({ labels }) =>
      selects({ matchLabels: selector ?? {} }, labels),
    );
    return chosen ? [] : [finding('reference', manifest, 'selects no pod')];
  });
}
