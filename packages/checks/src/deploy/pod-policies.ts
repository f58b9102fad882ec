import type { Finding } from '../finding.ts';
import type { Environment } from './environment.ts';
import { whereIs } from './manifests.ts';
import type { Container, Workload } from './workloads.ts';

/** Images of others, of development, that write beside their volumes. */
const writesItsRoot: readonly string[] = ['dev StatefulSet/kafka'];

/** What holds for every pod and container, wherever it runs; Kubernetes' restricted Pod Security Standard included. */
export function checkPods(environment: Environment): Finding[] {
  return environment.workloads.flatMap((workload) => {
    const { pod, containers, kind, name, manifest } = workload;
    const readOnly = !writesItsRoot.includes(`${environment.name} ${kind}/${name}`);
    const problems = [
      ...podProblems(workload),
      ...containers.flatMap((container) => [
        ...imageProblems(container),
        ...securityProblems(container, pod, readOnly),
        ...resourceProblems(container),
      ]),
      ...(kind === 'Job' ? [] : pod.containers.flatMap(probeProblems)),
    ];
    return problems.map(([rule, message]) => ({ rule, where: whereIs(manifest), message }));
  });
}

type Problem = [rule: string, message: string];

function podProblems({ pod }: Workload): Problem[] {
  const problems: Problem[] = [];
  if (pod.automountServiceAccountToken !== false)
    problems.push(['service-account', 'automountServiceAccountToken is not false']);
  for (const name of ['hostNetwork', 'hostPID', 'hostIPC'] as const)
    if (pod[name]) problems.push(['pod-security', `${name} is set`]);
  for (const { name, hostPath } of pod.volumes ?? [])
    if (hostPath) problems.push(['pod-security', `the volume ${name} is a hostPath`]);
  return problems;
}

function imageProblems({ name, image = '' }: Container): Problem[] {
  const [, tag] = /:([^/:@]+)$/.exec(image) ?? [];
  const digest = /@sha256:[0-9a-f]{64}$/.test(image);
  if (digest || (tag !== undefined && tag !== 'latest')) return [];
  return [['image', `${name}: the image "${image}" has neither a digest nor a tag that stays: not latest`]];
}

function securityProblems(
  { name, securityContext: own = {} }: Container,
  pod: Workload['pod'],
  readOnly: boolean,
) {
  const both = { ...pod.securityContext, ...own };
  const problems: Problem[] = [];
  const hold = (holds: boolean, rule: string, what: string) => {
    if (!holds) problems.push([rule, `${name}: ${what}`]);
  };
  hold(
    both.runAsNonRoot === true && both.runAsUser !== 0,
    'pod-security',
    'runAsNonRoot is not true, or the user is 0',
  );
  hold(
    both.seccompProfile?.type === 'RuntimeDefault',
    'pod-security',
    'seccompProfile is not RuntimeDefault',
  );
  hold(own.allowPrivilegeEscalation === false, 'pod-security', 'allowPrivilegeEscalation is not false');
  hold(own.privileged !== true, 'pod-security', 'is privileged');
  const { drop = [], add = [] } = own.capabilities ?? {};
  hold(
    drop.includes('ALL') && add.length === 0,
    'pod-security',
    'does not drop ALL capabilities, or adds one',
  );
  if (readOnly) hold(own.readOnlyRootFilesystem === true, 'read-only', 'readOnlyRootFilesystem is not true');
  return problems;
}

function resourceProblems({ name, resources }: Container): Problem[] {
  const missing = (['requests', 'limits'] as const).flatMap((kind) =>
    ['cpu', 'memory']
      .filter((what) => resources?.[kind]?.[what] === undefined)
      .map((what) => `${kind}.${what}`),
  );
  return missing.map((what) => ['resources', `${name}: resources.${what} is missing`]);
}

function probeProblems({ name, ports = [], ...container }: Container): Problem[] {
  return (['startupProbe', 'livenessProbe', 'readinessProbe'] as const).flatMap((kind): Problem[] => {
    const probe = container[kind];
    if (probe === undefined) return [['probes', `${name}: has no ${kind}`]];
    const port = (probe.httpGet ?? probe.tcpSocket)?.port;
    const known = ports.some((one) => one.name === port || one.containerPort === port);
    return port === undefined || known
      ? []
      : [['probes', `${name}: ${kind} asks port ${port}, which is none of its ports`]];
  });
}
