import type { Finding } from '../finding.ts';
import { type Environment, ofKind } from './environment.ts';
import { type Manifest, whereIs } from './manifests.ts';
import { settingsOf } from './settings.ts';
import { type Container, selects, type Workload } from './workloads.ts';

/** Who may speak to whom: what is opened must be listened on, and what an app is told to call must be open. */
export function checkReachability(environment: Environment): Finding[] {
  return [
    ...ofKind(environment, 'Service').flatMap((service) => servicePorts(environment, service)),
    ...ofKind(environment, 'NetworkPolicy').flatMap((policy) => [
      ...ingressPorts(environment, policy),
      ...egressPorts(environment, policy),
    ]),
    ...environment.workloads.flatMap((workload) => calls(environment, workload)),
  ];
}

interface Selector {
  matchLabels?: Record<string, string>;
}
interface Peer {
  podSelector?: Selector;
  namespaceSelector?: object;
  ipBlock?: object;
}
interface Ports {
  ports?: { port: number | string }[];
}
interface PolicySpec {
  podSelector?: Selector;
  ingress?: ({ from?: Peer[] } & Ports)[];
  egress?: ({ to?: Peer[] } & Ports)[];
}
const specOf = (policy: Manifest) => policy.object.spec as PolicySpec;
const portsOf = ({ ports = [] }: Ports) => ports.map(({ port }) => port);

const finding = (rule: string, manifest: Manifest, message: string): Finding => ({
  rule,
  where: whereIs(manifest),
  message,
});

const listens = ({ containers }: Workload, port: number | string): boolean =>
  containers.some(({ ports = [] }) => ports.some((one) => one.name === port || one.containerPort === port));

const chosen = ({ workloads }: Environment, selector: Selector | undefined): Workload[] =>
  workloads.filter(({ labels }) => selects(selector, labels));

function servicePorts(environment: Environment, service: Manifest): Finding[] {
  const { selector = {}, ports = [] } = service.object.spec as {
    selector?: Record<string, string>;
    ports?: { port: number; targetPort?: number | string }[];
  };
  const behind = chosen(environment, { matchLabels: selector });
  return ports
    .map(({ port, targetPort = port }) => targetPort)
    .filter((port) => behind.length > 0 && !behind.some((workload) => listens(workload, port)))
    .map((port) => finding('reference', service, `leads to port ${port}, on which its pods do not listen`));
}

function ingressPorts(environment: Environment, policy: Manifest): Finding[] {
  const { podSelector, ingress = [] } = specOf(policy);
  const own = chosen(environment, podSelector);
  return ingress
    .flatMap(portsOf)
    .filter((port) => !own.some((workload) => listens(workload, port)))
    .map((port) =>
      finding('network-policy', policy, `lets port ${port} in, on which its pods do not listen`),
    );
}

/** To pods of the same namespace; what is outside is not in the manifests. */
function egressPorts(environment: Environment, policy: Manifest): Finding[] {
  return (specOf(policy).egress ?? []).flatMap((rule) => {
    const inside = (rule.to ?? []).filter(({ namespaceSelector, ipBlock }) => !namespaceSelector && !ipBlock);
    return inside.flatMap(({ podSelector }) =>
      portsOf(rule)
        .filter((port) => !chosen(environment, podSelector).some((one) => takes(environment, one, port)))
        .map((port) =>
          finding('network-policy', policy, `leads to port ${port}, where no pod takes anything in`),
        ),
    );
  });
}

/** Whether it listens on the port and its own policy lets somebody in there. */
const takes = (environment: Environment, workload: Workload, port: number | string): boolean =>
  listens(workload, port) &&
  policiesOf(environment, workload).some(({ ingress = [] }) => ingress.flatMap(portsOf).includes(port));

const policiesOf = (environment: Environment, { labels }: Workload): PolicySpec[] =>
  ofKind(environment, 'NetworkPolicy')
    .map(specOf)
    .filter(({ podSelector }) => selects(podSelector, labels));

/** The servers that a container's settings name must be behind an open port. */
function calls(environment: Environment, workload: Workload): Finding[] {
  const open = policiesOf(environment, workload).flatMap(({ egress = [] }) => egress.flatMap(portsOf));
  const called = workload.containers.flatMap((container) => portsCalled(environment, container));
  return called
    .filter(({ port }) => !open.includes(port))
    .map(({ name, port }) =>
      finding('network-policy', workload.manifest, `may not go out to port ${port}, which ${name} names`),
    );
}

function portsCalled(environment: Environment, container: Container): { name: string; port: number }[] {
  const { settings } = settingsOf(environment, container);
  const brokers = settings.KAFKA_BROKERS?.split(',') ?? [];
  const urls = ['DATABASE_URL', 'GATEWAY_URL'].flatMap((name) => {
    const url = URL.parse(settings[name] ?? '');
    return url === null ? [] : [{ name, port: Number(url.port || defaultPorts[url.protocol]) }];
  });
  return [
    ...brokers.map((broker) => ({ name: 'KAFKA_BROKERS', port: Number(broker.split(':')[1]) })),
    ...urls,
  ];
}

const defaultPorts: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'postgres:': 5432 };
