import { KafkaContainer } from '@testcontainers/kafka';
import { PostgreSqlContainer } from '@testcontainers/postgresql';
import { getContainerRuntimeClient, Wait } from 'testcontainers';
import { images, kafkaSettings, postgresSettings } from './settings.ts';
import type { RunningServers, StackHost } from './stack-host.ts';

/** Why no Docker engine can be used, or undefined when one answers. */
export async function dockerProblem(): Promise<string | undefined> {
  try {
    await getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** PostgreSQL and Kafka as containers; they end with the daemon. */
export async function startDocker(host: StackHost): Promise<RunningServers> {
  host.log(`starting containers ${images.postgres} and ${images.kafka}`);
  const [postgres, kafka] = await Promise.all([startPostgres(host), startKafka(host)]);
  return {
    postgresUrl: postgres.getConnectionUri(),
    kafkaBrokers: [`${kafka.getHost()}:${kafka.getMappedPort(9093)}`],
    stop: async () => {
      await Promise.all([postgres.stop({ timeout: 1 }), kafka.stop({ timeout: 1 })]);
    },
  };
}

/** Removes a container that a killed daemon left; one that is gone already is fine. */
export async function removeContainer(id: string): Promise<void> {
  const client = await getContainerRuntimeClient();
  await client.container
    .getById(id)
    .remove({ force: true, v: true })
    .catch((error: { statusCode?: number }) => {
      if (error.statusCode !== 404) throw error;
    });
}

async function startPostgres(host: StackHost) {
  const settings = Object.entries(postgresSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const container = await new PostgreSqlContainer(images.postgres)
    .withDatabase('postgres')
    .withUsername('postgres')
    .withPassword('postgres')
    .withCommand(['postgres', ...settings])
    .start();
  host.trackContainer(container.getId());
  return container;
}

async function startKafka(host: StackHost) {
  const environment = Object.entries(kafkaSettings).map(
    ([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll('.', '_')}`, value] as const,
  );
  const container = await new KafkaContainer(images.kafka)
    .withKraft()
    .withEnvironment(Object.fromEntries(environment))
    // Its own strategy is satisfied before the broker listens.
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  host.trackContainer(container.getId());
  return container;
}
