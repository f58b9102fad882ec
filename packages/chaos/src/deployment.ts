import type { SystemService } from '@orders/demo';
import type { LogLine, ServiceExit } from '@orders/dev-stack';
import type { KubernetesService } from './kubernetes-service.ts';

/** An app with some replicas. */
export interface Deployment {
  /** Starts a replica; resolves when it is ready. */
  start(): Promise<SystemService>;
  /** What leads clients to it, if anything does. */
  readonly service?: KubernetesService;
}

/** How a replica ended. */
export interface Ending extends ServiceExit {
  /** What it logged since it was told to end. */
  readonly drainLog: readonly LogLine[];
}

/** Starts the replicas one after the other. */
export async function deploy(deployment: Deployment, replicas: number): Promise<SystemService[]> {
  const running: SystemService[] = [];
  while (running.length < replicas) running.push(await addReplica(deployment));
  return running;
}

/**
 * Replaces every replica as a Deployment with `maxUnavailable: 0` and `maxSurge: 1` does: a new one is started, and
 * when it is ready an old one is sent SIGTERM, and SIGKILL when it is still there after the grace period.
 */
export async function rollOut(
  deployment: Deployment,
  old: readonly SystemService[],
): Promise<{ running: SystemService[]; endings: Ending[] }> {
  const running: SystemService[] = [];
  const endings: Ending[] = [];
  for (const replica of old) {
    running.push(await addReplica(deployment));
    endings.push(await terminate(deployment, replica));
  }
  return { running, endings };
}

async function addReplica({ start, service }: Deployment): Promise<SystemService> {
  const replica = await start();
  await service?.add(replica.url);
  return replica;
}

/** Tells a replica to end, and waits until it has. */
export async function terminate({ service }: Deployment, replica: SystemService): Promise<Ending> {
  service?.terminating(replica.url);
  const exit = await replica.stop('SIGTERM');
  const drainsFrom = replica.logs.findIndex(({ msg }) => msg === 'draining');
  return { ...exit, drainLog: drainsFrom < 0 ? [] : replica.logs.slice(drainsFrom) };
}
