import { startEmbeddedKafka } from './embedded-kafka.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import type { RunningServers, StackHost } from './stack-host.ts';

/** PostgreSQL and Kafka as plain child processes. */
export async function startEmbedded(host: StackHost): Promise<RunningServers> {
  const [postgres, kafka] = await Promise.all([startEmbeddedPostgres(host), startEmbeddedKafka(host)]);
  return {
    postgresUrl: postgres.url,
    kafkaBrokers: kafka.brokers,
    stop: async () => {
      postgres.stop();
      await kafka.stop();
    },
  };
}
