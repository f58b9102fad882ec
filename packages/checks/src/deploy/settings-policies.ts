import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from '../finding.ts';
import type { Environment } from './environment.ts';
import { whereIs } from './manifests.ts';
import { readSettings, type SettingsRead } from './read-settings.ts';
import { settingsOf } from './settings.ts';
import type { Container, Workload } from './workloads.ts';

/** Settings of Node's, which no config.ts names. */
const nodeSettings = /^NODE_/;

/** Is said by Kubernetes to mean it: what the drain takes, and then the pod's end. */
const marginSeconds = 1;

/**
 * Lets each app's own config.ts read the environment that its container would have: it names what it objects to, and
 * a name that it does not return is one that it does not know. Also that the pod waits for the drain, and is asked
 * where the app listens.
 */
export async function checkSettings(root: string, environment: Environment): Promise<Finding[]> {
  const containers = environment.workloads.flatMap((workload) =>
    workload.containers.map((container) => {
      const reader = readerOf(root, container);
      return { workload, container, reader, ...settingsOf(environment, container) };
    }),
  );
  const requests = containers.map(({ reader, settings: given }) =>
    (reader?.names ?? []).map((name) => ({ file: reader?.file ?? '', name, given })),
  );
  const reads = await readSettings(requests.flat());
  return containers.flatMap((one, i) => checkContainer(one, reads.splice(0, requests[i]?.length)));
}

interface Configured {
  workload: Workload;
  container: Container;
  reader: Reader | undefined;
  settings: Readonly<Record<string, string>>;
  twice: readonly string[];
}

/** @param read by each of the reader's names */
function checkContainer(
  { workload: { manifest, kind, pod }, container, reader, settings: given, twice }: Configured,
  read: readonly SettingsRead[],
): Finding[] {
  const found = (rule: string, message: string): Finding => ({
    rule,
    where: whereIs(manifest),
    message: `${container.name}: ${message}`,
  });
  const findings = twice.map((name) => found('settings', `${name} is there twice`));
  if (reader === undefined) {
    // Development's servers are StatefulSets; a Deployment is one of our apps.
    if (kind === 'Deployment')
      findings.push(found('settings', 'is none of the apps, so that nothing reads its settings'));
    return findings;
  }
  const files = Object.entries(given).filter(
    ([name, value]) => name.endsWith('_FILE') && !isMounted(container, value),
  );
  for (const [name, value] of files)
    findings.push(found('settings', `${name}: nothing is mounted at ${value}`));

  const [{ settings, problems } = { problems: [] }] = read;
  if (settings === undefined) return [...findings, ...problems.map((problem) => found('settings', problem))];
  const known = new Set(read.flatMap((one) => Object.keys(one.settings ?? {})));
  for (const name of Object.keys(given))
    if (!known.has(name) && !nodeSettings.test(name))
      findings.push(found('settings', `${reader.program} knows no setting ${name}`));
  if (reader.program === 'ordersctl') return findings;

  const drainMs = Number(settings.SHUTDOWN_TIMEOUT_MS) + Number(settings.DRAIN_DELAY_MS ?? 0);
  const graceSeconds = pod.terminationGracePeriodSeconds ?? 30;
  if (graceSeconds * 1000 < drainMs + marginSeconds * 1000)
    findings.push(
      found('grace-period', `${graceSeconds} s are not more than the ${drainMs} ms that a drain may take`),
    );
  const port = settings.PORT ?? settings.PROBE_PORT;
  if (!container.ports?.some(({ containerPort }) => containerPort === port))
    findings.push(
      found('probes', `the app listens on ${port ?? 'no port for probes'}, which is none of the container's`),
    );
  for (const [probe, path] of [
    ['livenessProbe', '/livez'],
    ['readinessProbe', '/readyz'],
  ] as const)
    if (container[probe]?.httpGet?.path !== path)
      findings.push(found('probes', `${probe} does not ask ${path}`));
  return findings;
}

interface Reader {
  program: string;
  file: string;
  /** What reads it; the first must be content, the others may know more names. */
  names: string[];
}

/** Who reads the container's environment, where it is one of ours: the chart names an app's container after it. */
function readerOf(root: string, { name: app, command = [] }: Container): Reader | undefined {
  if (command[0] === 'ordersctl') {
    // The steps of one Job share its environment.
    const names = ['readDatabaseConfig', 'readTopicsConfig'];
    if (/^(topics|acls)$/.test(command[1] ?? '')) names.reverse();
    return { program: 'ordersctl', file: join(root, 'packages/ordersctl/src/config.ts'), names };
  }
  const file = join(root, 'apps', app, 'src/config.ts');
  return existsSync(file) ? { program: app, file, names: ['readConfig'] } : undefined;
}

const isMounted = ({ volumeMounts = [] }: Container, path: string): boolean =>
  volumeMounts.some(({ mountPath }) => path.startsWith(`${mountPath}/`));
