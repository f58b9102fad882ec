import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { KafkaContainer } from '@testcontainers/kafka';
import { PostgreSqlContainer } from '@testcontainers/postgresql';
import { getContainerRuntimeClient, Wait } from 'testcontainers';
import { DevStackError } from './errors.ts';
import { images, kafkaSettings, postgresSettings } from './settings.ts';
import type { RunningServers, StackHost } from './stack-host.ts';

const engineWaitMs = 15_000;

/** Marks the containers of one stack, with its state directory, so that the next daemon finds them. */
const stackLabel = 'orders.dev-stack';

/** Why no Docker engine can be used, or undefined when one answers. */
export async function dockerProblem(): Promise<string | undefined> {
  // testcontainers would silently go on to the next engine it knows.
  const socketPath = /^unix:\/\/(.*)$/.exec(process.env.DOCKER_HOST ?? '')?.[1];
  if (socketPath !== undefined && !existsSync(socketPath)) return `DOCKER_HOST: there is no ${socketPath}`;
  const answered = getContainerRuntimeClient().then(
    () => undefined,
    (error: Error) => error.message,
  );
  const silence = `no answer within ${engineWaitMs / 1000} s`;
  return Promise.race([answered, sleep(engineWaitMs, silence, { ref: false })]);
}

/** PostgreSQL and Kafka as containers, after removing those that a killed daemon of this stack left. */
export async function startDocker(host: StackHost): Promise<RunningServers> {
  const stack = host.paths.dir;
  await removeContainers(stack);
  host.log(`starting containers ${images.postgres} and ${images.kafka}`);
  const [postgres, kafka] = await Promise.allSettled([startPostgres(stack), startKafka(stack)]);
  if (postgres.status === 'rejected' || kafka.status === 'rejected') {
    await removeContainers(stack);
    const { reason } = (postgres.status === 'rejected' ? postgres : kafka) as PromiseRejectedResult;
    throw new DevStackError(
      'DEV_STACK_START_FAILED',
      `A Docker engine answers, but the containers did not start: ${reason}\nDEV_STACK=embedded does without.`,
      { cause: reason },
    );
  }
  return {
    mode: 'docker',
    postgresUrl: postgres.value.getConnectionUri(),
    kafkaBrokers: [`${kafka.value.getHost()}:${kafka.value.getMappedPort(9093)}`],
    died: new Promise(() => undefined), // the tests would tell
    stop: () => removeContainers(stack),
  };
}

/** Ends and removes this stack's containers; one that is gone already, or is just going, is fine. */
async function removeContainers(stack: string): Promise<void> {
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const found = await dockerode.listContainers({ all: true, filters: { label: [`${stackLabel}=${stack}`] } });
  await Promise.all(
    found.map(({ Id }) =>
      dockerode
        .getContainer(Id)
        .remove({ force: true, v: true })
        .catch((error: { statusCode?: number }) => {
          if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
        }),
    ),
  );
}

async function startPostgres(stack: string) {
  const settings = Object.entries(postgresSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return (
    new PostgreSqlContainer(images.postgres)
      .withDatabase('postgres')
      .withUsername('postgres')
      .withPassword('postgres')
      .withCommand(['postgres', ...settings])
      // testcontainers would have a psql ask every 250 ms, for good. One that a busy machine leaves without an answer is
      // killed, and PostgreSQL, process 1 of its container, takes the death of that stray child for a crash of its own.
      .withHealthCheck({ test: ['NONE'] as unknown as ['CMD'] })
      // Said first by the server that makes the database, then by the one that stays.
      .withWaitStrategy(
        Wait.forAll([
          Wait.forLogMessage('database system is ready to accept connections', 2),
          Wait.forListeningPorts(),
        ]),
      )
      .withLabels({ [stackLabel]: stack })
      .start()
  );
}

async function startKafka(stack: string) {
  const environment = Object.entries(kafkaSettings).map(
    ([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll('.', '_')}`, value] as const,
  );
  return (
    new KafkaContainer(images.kafka)
      .withKraft()
      .withEnvironment(Object.fromEntries(environment))
      .withLabels({ [stackLabel]: stack })
      // Its own strategy is satisfied before the broker listens.
      .withWaitStrategy(Wait.forListeningPorts())
      .start()
  );
}
