import { startEmbeddedKafka } from './embedded-kafka.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { endOf, type RunningServers, type StackHost } from './stack-host.ts';

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
