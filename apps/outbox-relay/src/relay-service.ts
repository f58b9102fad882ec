import { setTimeout as sleep } from 'node:timers/promises';
import { assertRightsFit, assertSchemaFits, createDatabase, type DatabaseHandle } from '@orders/db';
import { createRelay, OutboxError, type Publisher } from '@orders/outbox';
import { createPrometheusMetrics } from '@orders/outbox/prometheus';
import {
  crashPoint,
  kafkaLogger,
  kafkaSecurity,
  type Logger,
  type RunningService,
  startProbes,
} from '@orders/service-runtime';
import { Registry } from '@prometheus-io/client';
import type { RelayConfig } from './config.ts';
import { createPublisher } from './publishers.ts';

/** In logs, in `pg_stat_activity` and as Kafka client id. */
export const service = 'outbox-relay';

/**
 * Publishes the outbox until it is stopped. Stopping finishes the batches in flight and gives the buckets back, so
 * that another relay takes them at once; what is not published stays in the table.
 */
export async function startRelayService(
  config: RelayConfig,
  serviceLogger: Logger,
  stopping: AbortSignal,
): Promise<RunningService> {
  const security = kafkaSecurity(config);
  const logger = kafkaLogger(serviceLogger, security);
  const database = openDatabase(config, logger);
  const broker = { brokers: config.KAFKA_BROKERS, clientId: service, security, logger: serviceLogger };
  const publisher = createPublisher(config.PUBLISHER, broker);
  const registry = new Registry();
  const relay = createRelay(
    { pool: database.pool, publisher, logger, crashPoint, metrics: createPrometheusMetrics({ registry }) },
    {
      leaseDurationMs: config.RELAY_LEASE_MS,
      pollIntervalMs: config.RELAY_POLL_INTERVAL_MS,
      batchSizeMax: config.RELAY_BATCH_SIZE_MAX,
      retentionMs: config.RELAY_RETENTION_MS,
      partitionWidthMs: config.RELAY_PARTITION_WIDTH_MS,
      partitionsAhead: config.RELAY_PARTITIONS_AHEAD,
      drainTimeoutMs: config.SHUTDOWN_TIMEOUT_MS * 0.8, // the rest is for giving back buckets and connections
    },
  );

  let running = false;
  const isReady = async () => {
    if (!running || !relay.isHealthy()) return false;
    await database.pool.query('SELECT 1');
    return true;
  };
  const port = config.PROBE_PORT;
  const probes =
    port === undefined ? undefined : await startProbes({ port, isReady, metrics: registry, logger });

  await assertSchemaFits(database.db);
  await assertRightsFit(database.db, 'relay');
  await reachBroker(publisher, logger, stopping);
  await relay.start().catch(namingTheCommand);
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

/** The library names a function where an operator needs a command. */
function namingTheCommand(error: unknown): never {
  if (!(error instanceof OutboxError) || error.code !== 'OUTBOX_RESTORED') throw error;
  const message = `${error.message}: run "ordersctl relay adopt-restored"`;
  throw new OutboxError(error.code, message, { cause: error });
}

const brokerRetryMs = 1000;

/**
 * Waits for the broker, for ever: a relay that cannot publish must not take buckets from those that can.
 * @throws the reason of `stopping`
 */
async function reachBroker(publisher: Publisher, logger: Logger, stopping: AbortSignal): Promise<void> {
  for (;;) {
    stopping.throwIfAborted();
    try {
      return await publisher.connect();
    } catch (error) {
      logger.warn({ err: error, retryInMs: brokerRetryMs }, 'Kafka does not answer yet');
    }
    await sleep(brokerRetryMs, undefined, { signal: stopping });
  }
}

function openDatabase(config: RelayConfig, logger: Logger): DatabaseHandle {
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
