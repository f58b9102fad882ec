import { dockerProblem, startDocker } from './docker.ts';
import { startEmbedded } from './embedded.ts';
import { DevStackError } from './errors.ts';
import { missingForKafka } from './kafka-jars.ts';
import type { RunningServers, StackHost } from './stack-host.ts';
import type { WantedMode } from './state.ts';

/** Starts the servers the wanted way; `auto` prefers Docker where an engine answers. */
export async function startServers(
  wanted: WantedMode,
  host: StackHost,
): Promise<{ mode: 'docker' | 'embedded'; servers: RunningServers }> {
  const problem = wanted === 'embedded' ? 'not asked' : await dockerProblem();
  if (problem === undefined) return { mode: 'docker', servers: await startDocker(host) };
  const missing = wanted === 'docker' ? ['not asked'] : missingForKafka();
  if (missing.length === 0) return { mode: 'embedded', servers: await startEmbedded(host) };
  throw new DevStackError('DEV_STACK_IMPOSSIBLE', impossible(wanted, problem, missing));
}

function impossible(wanted: WantedMode, dockerProblem: string, missing: string[]): string {
  const ways = {
    docker: `Docker: install and start a Docker engine (${dockerProblem}).`,
    embedded: `Embedded: install ${missing.join(' and ')}.`,
    environment: 'Your own: set DEV_STACK_POSTGRES_URL and DEV_STACK_KAFKA_BROKERS.',
  };
  const wantedWays = wanted === 'auto' ? [ways.docker, ways.embedded] : [ways[wanted]];
  const forced = wanted === 'auto' ? '' : ` as DEV_STACK=${wanted} asks`;
  return [`PostgreSQL and Kafka cannot be started on this machine${forced}. Do one of these:`]
    .concat([...wantedWays, ways.environment].map((way) => `  - ${way}`))
    .join('\n');
}
