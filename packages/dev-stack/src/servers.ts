import { DevStackError } from './errors.ts';
import type { RunningServers, StackHost } from './stack-host.ts';
import type { WantedMode } from './state.ts';

/** Starts the servers the wanted way; `auto` prefers Docker where an engine answers. */
export async function startServers(wanted: WantedMode, host: StackHost): Promise<RunningServers> {
  // Loaded only where needed: testcontainers is large.
  const mode = await chooseMode(wanted, {
    dockerProblem: async () => (await import('./docker.ts')).dockerProblem(),
    missing: async () => (await import('./embedded.ts')).missingForEmbedded(),
  });
  if (mode === 'docker') return (await import('./docker.ts')).startDocker(host);
  return (await import('./embedded.ts')).startEmbedded(host);
}

/** What a machine can do. */
export interface Machine {
  /** Why no Docker engine can be used; undefined when one answers. */
  dockerProblem(): Promise<string | undefined>;
  /** What embedded servers lack, in words for the developer. */
  missing(): Promise<string[]>;
}

/**
 * Docker before embedded servers, or the one that is forced.
 * @throws DevStackError DEV_STACK_IMPOSSIBLE with everything one could do about it
 */
export async function chooseMode(wanted: WantedMode, machine: Machine): Promise<'docker' | 'embedded'> {
  const ways: string[] = [];
  if (wanted !== 'embedded') {
    const problem = await machine.dockerProblem();
    if (problem === undefined) return 'docker';
    ways.push(`Docker: install and start a Docker engine (${problem}).`);
  }
  if (wanted !== 'docker') {
    const missing = await machine.missing();
    if (missing.length === 0) return 'embedded';
    ways.push(`Embedded: install ${missing.join(' and ')}.`);
  }
  ways.push('Your own: set DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS.');
  const forced = wanted === 'auto' ? '' : ` as DEV_STACK=${wanted} asks`;
  throw new DevStackError(
    'DEV_STACK_IMPOSSIBLE',
    [`PostgreSQL and Kafka cannot be started on this machine${forced}. Do one of these:`, ...ways].join(
      '\n  - ',
    ),
  );
}
