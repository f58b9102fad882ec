import { docker, runDocker } from './docker.ts';

/** What images are run against. */
export interface Servers {
  /** Arguments of `docker run` that reach them, and settings of the services. */
  options: readonly string[];
  /** Runs a container of an image, as the deployments do: nothing can be written, no capability is left. */
  run(image: string, more: { options?: readonly string[]; command?: readonly string[] }): Promise<string>;
}

const composeFile = 'infra/compose/compose.yaml';

/** A PostgreSQL and a Kafka of compose.yaml, as long as `use` takes; nothing of them stays. */
export async function withServers<R>(use: (servers: Servers) => Promise<R>): Promise<R> {
  const project = `orders-images-${process.pid}`;
  const compose = ['compose', '--project-name', project, '--file', composeFile];
  const options = [
    ...['--network', `${project}_default`, '--label', `orders.images=${project}`],
    ...['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'],
    ...['--env', 'DATABASE_URL=postgres://orders:orders@postgres:5432/orders'],
    ...['--env', 'KAFKA_BROKERS=kafka:9092', '--env', 'GATEWAY_URL=http://gateway-simulator:4000'],
  ];
  try {
    await docker(...compose, 'up', '--detach', '--wait', 'postgres', 'kafka');
    return await use({
      options,
      run: (image, { options: more = [], command = [] }) =>
        docker('run', ...options, ...more, image, ...command),
    });
  } finally {
    const left = await docker('ps', '--all', '--quiet', '--filter', `label=orders.images=${project}`);
    if (left !== '') await docker('rm', '--force', '--volumes', ...left.split('\n'));
    await runDocker([...compose, 'down', '--volumes']);
  }
}
