import { assertRightsFit, assertSchemaFits, createDatabase, type DatabaseHandle } from '@orders/db';
import { createPrometheusMetrics } from '@orders/idempotent-consumer/prometheus';
import { createOrderLifecycle, type OrderLifecycle } from '@orders/order-lifecycle';
import { createOutbox, type Outbox } from '@orders/outbox';
import { createHttpGateway, createPaymentExecutor } from '@orders/payments';
import {
  crashPoint,
  createKafka,
  kafkaLogger,
  kafkaSecurity,
  type Logger,
  type RunningService,
  startProbes,
} from '@orders/service-runtime';
import { Registry } from '@prometheus-io/client';
import type { WorkerConfig } from './config.ts';
import { createOrderIntake } from './order-intake.ts';

/** In logs, in `pg_stat_activity`, as Kafka client id and as the inbox's consumer name: never a pod's name. */
export const service = 'payment-worker';

/**
 * Accepts orders from Kafka and charges them until it is stopped. Stopping ends the consumer first, so that nothing
 * new is accepted, then waits for the gateway calls in flight; what is accepted and not yet charged is in the
 * database, for this worker's successor or any other.
 */
export async function startWorkerService(config: WorkerConfig, logger: Logger): Promise<RunningService> {
  const database = openDatabase(config, logger);
  const outbox = createOutbox({ pool: database.pool, logger });
  const lifecycle = createOrderLifecycle({ outbox, topic: config.ORDERS_TOPIC });
  const executor = createExecutor(config, { database, outbox, lifecycle, logger });
  const security = kafkaSecurity(config);
  const registry = new Registry();
  const intake = createOrderIntake(
    {
      kafka: createKafka({ brokers: config.KAFKA_BROKERS, clientId: service, security, logger }),
      db: database.db,
      lifecycle,
      outbox,
      logger: kafkaLogger(logger, security),
      metrics: createPrometheusMetrics({ registry }),
      crashPoint,
      afterCommit() {
        outbox.wake();
        executor.wake();
      },
    },
    {
      topic: config.ORDERS_TOPIC,
      deadLettersTopic: config.DEAD_LETTERS_TOPIC,
      consumerName: service,
      groupId: config.CONSUMER_GROUP,
      sessionTimeoutMs: config.KAFKA_SESSION_TIMEOUT_MS,
      stopTimeoutMs: Math.ceil(config.SHUTDOWN_TIMEOUT_MS * shareOfDrain.consumer),
      handleTimeoutMs: acceptTimeoutMs,
    },
  );

  let running = false;
  const isReady = async () => {
    if (!running || !intake.isHealthy() || !executor.isHealthy()) return false;
    await database.pool.query('SELECT 1');
    return true;
  };
  const port = config.PROBE_PORT;
  const probes =
    port === undefined ? undefined : await startProbes({ port, isReady, metrics: registry, logger });

  await assertSchemaFits(database.db);
  await assertRightsFit(database.db, 'worker');
  executor.start();
  await intake.start();
  running = true;

  return {
    async stop() {
      running = false;
      await intake.stop();
      await executor.stop();
      await outbox.close();
      await database.close();
      await probes?.close();
    },
  };
}

function openDatabase(config: WorkerConfig, logger: Logger): DatabaseHandle {
  // A worker that is frozen in the middle of a statement must have lost its locks before its leases run out.
  const timeoutMs = Math.min(5000, Math.floor(config.PAYMENT_LEASE_MS / 2));
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

function createExecutor(
  config: WorkerConfig,
  deps: { database: DatabaseHandle; outbox: Outbox; lifecycle: OrderLifecycle; logger: Logger },
) {
  const { database, ...rest } = deps;
  const gateway = createHttpGateway({
    url: config.GATEWAY_URL,
    timeoutMs: config.GATEWAY_TIMEOUT_MS,
    logger: deps.logger,
  });
  return createPaymentExecutor(
    { ...rest, db: database.db, gateway, crashPoint },
    {
      leaseDurationMs: config.PAYMENT_LEASE_MS,
      concurrencyMax: config.PAYMENT_CONCURRENCY_MAX,
      attemptsMax,
      backoffBaseMs: config.PAYMENT_BACKOFF_BASE_MS,
      backoffMaxMs: config.PAYMENT_BACKOFF_MAX_MS,
      paymentDeadlineMs: config.PAYMENT_DEADLINE_MS,
      keyLifetimeMs: config.GATEWAY_KEY_LIFETIME_MS,
      keyLifetimeMarginMs: config.GATEWAY_KEY_LIFETIME_MARGIN_MS,
      pollIntervalMs: config.PAYMENT_POLL_INTERVAL_MS,
      sweepIntervalMs: config.PAYMENT_SWEEP_INTERVAL_MS,
      drainTimeoutMs: Math.ceil(config.SHUTDOWN_TIMEOUT_MS * shareOfDrain.executor),
    },
  );
}

/** One after the other they stop within SHUTDOWN_TIMEOUT_MS, with some to spare for closing connections. */
const shareOfDrain = { consumer: 0.3, executor: 0.6 };

/** Accepting a chunk is a few statements, each of which the pool ends after 5 s. */
const acceptTimeoutMs = 20_000;

/** Soft declines after which an order is FAILED. Part of what customers are told, so it is not configured. */
const attemptsMax = 3;
