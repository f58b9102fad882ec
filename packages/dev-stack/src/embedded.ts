import { startEmbeddedKafka } from './embedded-kafka.ts';
import { missingForPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import { missingForKafka } from './kafka-jars.ts';
import { endOf, type RunningServers, type StackHost } from './stack-host.ts';

/** What is missing on this machine, in words for the developer; empty when nothing is. */
export function missingForEmbedded(): string[] {
  return [...missingForPostgres(), ...missingForKafka()];
}

/** PostgreSQL and Kafka as plain child processes. */
export async function startEmbedded(host: StackHost): Promise<RunningServers> {
  const [postgres, kafka] = await Promise.all([startEmbeddedPostgres(host), startEmbeddedKafka(host)]);
  return {
    mode: 'embedded',
    postgresUrl: postgres.url,
    kafkaBrokers: kafka.brokers,
    died: Promise.race([endOf('postgres', postgres.server), endOf('kafka', kafka.broker)]),
    stop: kafka.stop,
  };
}
