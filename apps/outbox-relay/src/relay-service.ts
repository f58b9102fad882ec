import { assertSchemaFits, createDatabase } from '@orders/db';
import { createRelay } from '@orders/outbox';
import { createKafkajsPublisher } from '@orders/outbox/kafkajs';
import {
  crashPoint,
  createKafka,
  type Logger,
  type RunningService,
  startProbes,
} from '@orders/service-runtime';
import type { RelayConfig } from './config.ts';

/** In logs, in `pg_stat_activity` and as Kafka client id. */
export const service = 'outbox-relay';

/**
 * Publishes the outbox until it is stopped. Stopping finishes the batches in flight and gives the buckets back, so
 * that another relay takes them at once; what is not published stays in the table.
 */
export async function startRelayService(config: RelayConfig, logger: Logger): Promise<RunningService> {
  const database = openDatabase(config, logger);
  const kafka = createKafka({ brokers: config.KAFKA_BROKERS, clientId: service, logger });
  const publisher = createKafkajsPublisher({ kafka });
  const relay = createRelay(
    { pool: database.pool, publisher, logger, crashPoint },
    {
      leaseDurationMs: config.RELAY_LEASE_MS,
      pollIntervalMs: config.RELAY_POLL_INTERVAL_MS,
      batchSizeMax: config.RELAY_BATCH_SIZE_MAX,
    },
  );

  let running = false;
  const isReady = async () => {
    if (!running || !relay.isHealthy()) return false;
    await database.pool.query('SELECT 1');
    return true;
  };
  const port = config.PROBE_PORT;
  const probes = port === undefined ? undefined : await startProbes({ port, isReady, logger });

  await assertSchemaFits(database.db);
  await publisher.connect();
  await relay.start();
  running = true;

  return {
    async stop() {
      running = false;
      await relay.stop();
      await publisher.disconnect();
      await database.close();
      await probes?.close();
    },
  };
}

function openDatabase(config: RelayConfig, logger: Logger) {
  // A relay that is frozen in the middle of a statement must have lost its locks before its lease runs out.
  const timeoutMs = Math.min(5000, Math.floor(config.RELAY_LEASE_MS / 2));
  return createDatabase({
    url: config.DATABASE_URL,
    poolMax: config.DATABASE_POOL_MAX,
    statementTimeoutMs: timeoutMs,
    lockTimeoutMs: timeoutMs,
    idleInTransactionTimeoutMs: timeoutMs,
    applicationName: service,
    logger,
  });
}
