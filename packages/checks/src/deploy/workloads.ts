import type { Manifest } from './manifests.ts';

// What the policies read of a pod; the schemas check the rest.

export interface Probe {
  httpGet?: { port: number | string; path?: string };
  tcpSocket?: { port: number | string };
}

export interface SecurityContext {
  runAsNonRoot?: boolean;
  runAsUser?: number;
  seccompProfile?: { type: string };
  allowPrivilegeEscalation?: boolean;
  readOnlyRootFilesystem?: boolean;
  privileged?: boolean;
  capabilities?: { drop?: string[]; add?: string[] };
}

export interface Container {
  name: string;
  image?: string;
  command?: string[];
  ports?: { name?: string; containerPort: number }[];
  env?: { name: string; value?: string; valueFrom?: { secretKeyRef?: { name: string; key: string } } }[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  volumeMounts?: { name: string; mountPath: string }[];
  startupProbe?: Probe;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  resources?: { requests?: Record<string, unknown>; limits?: Record<string, unknown> };
  securityContext?: SecurityContext;
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  securityContext?: SecurityContext;
  serviceAccountName?: string;
  automountServiceAccountToken?: boolean;
  terminationGracePeriodSeconds?: number;
  hostNetwork?: boolean;
  hostPID?: boolean;
  hostIPC?: boolean;
  volumes?: {
    name: string;
    hostPath?: object;
    configMap?: { name: string };
    secret?: { secretName: string };
  }[];
}

/** An object that makes pods. */
export interface Workload {
  manifest: Manifest;
  kind: string;
  name: string;
  labels: Record<string, string>;
  pod: PodSpec;
  /** Of the pod, those that run before its own included. */
  containers: Container[];
  replicas: number | undefined;
}

/** Those of the manifests that make pods; a Job runs to its end, the others serve until they are stopped. */
export function workloadsOf(manifests: readonly Manifest[]): Workload[] {
  return manifests.flatMap((manifest) => {
    const { kind, metadata, spec } = manifest.object;
    if (!['Deployment', 'StatefulSet', 'Job'].includes(kind)) return [];
    const { replicas, template } = spec as {
      replicas?: number;
      template: { metadata?: { labels?: Record<string, string> }; spec: PodSpec };
    };
    const pod = template.spec;
    const containers = [...(pod.initContainers ?? []), ...pod.containers];
    const labels = template.metadata?.labels ?? {};
    return [{ manifest, kind, name: metadata.name, labels, pod, containers, replicas }];
  });
}

/** Whether a selector chooses the pods with these labels. */
export const selects = (
  selector: { matchLabels?: Record<string, string> } | undefined,
  labels: Readonly<Record<string, string>>,
): boolean => Object.entries(selector?.matchLabels ?? {}).every(([name, value]) => labels[name] === value);
