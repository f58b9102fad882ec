import {
  ConfigError,
  databaseConfig,
  kafkaConfig,
  kafkaProblems,
  loadConfig,
  serviceConfig,
} from '@orders/service-runtime';
import { type Static, Type } from 'typebox';

const ms = (defaultMs: number, minimum = 1) => Type.Integer({ default: defaultMs, minimum });

const Config = Type.Object({
  ...serviceConfig,
  ...databaseConfig,
  ...kafkaConfig,
  CONSUMER_GROUP: Type.String({ default: 'payment-worker', minLength: 1 }),
  /** After this silence Kafka gives the worker's partitions to another. */
  KAFKA_SESSION_TIMEOUT_MS: ms(30_000, 500),
  GATEWAY_URL: Type.String({ minLength: 1 }),
  /** One call to the gateway; far shorter than the lease. */
  GATEWAY_TIMEOUT_MS: ms(10_000),
  /** How long the gateway answers a repeated key with the first answer. */
  GATEWAY_KEY_LIFETIME_MS: ms(24 * 3600_000),
  /** No call starts in this last part of the key's lifetime. */
  GATEWAY_KEY_LIFETIME_MARGIN_MS: ms(3600_000),
  /** How long a claimed payment is this worker's alone. */
  PAYMENT_LEASE_MS: ms(60_000),
  PAYMENT_CONCURRENCY_MAX: Type.Integer({ default: 32, minimum: 1, maximum: 1000 }),
  PAYMENT_BACKOFF_BASE_MS: ms(1000),
  PAYMENT_BACKOFF_MAX_MS: ms(60_000),
  /** A payment whose outcome is still unknown after this goes to REVIEW. */
  PAYMENT_DEADLINE_MS: ms(24 * 3600_000),
  PAYMENT_POLL_INTERVAL_MS: ms(500),
  PAYMENT_SWEEP_INTERVAL_MS: ms(5000),
});

/** What the worker is told by its environment. */
export type WorkerConfig = Readonly<Static<typeof Config>>;

/**
 * The environment, validated and frozen.
 * @throws ConfigError naming every problem, also where two settings contradict each other
 */
export function readConfig(): WorkerConfig {
  const config = loadConfig(Config);
  const problems = [...kafkaProblems(config), ...contradictions(config)];
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** The protocol rests on: one call ≪ the lease ≪ the key's lifetime, whose margin the last call still fits into. */
function contradictions(config: WorkerConfig): string[] {
  const problems: string[] = [];
  const lastSendMs = config.GATEWAY_KEY_LIFETIME_MS - config.GATEWAY_KEY_LIFETIME_MARGIN_MS;
  if (!isCallable(config.GATEWAY_URL))
    problems.push('GATEWAY_URL must be an http:// or https:// URL without user and password');
  if (config.GATEWAY_TIMEOUT_MS >= config.PAYMENT_LEASE_MS)
    problems.push('GATEWAY_TIMEOUT_MS must be less than PAYMENT_LEASE_MS');
  if (config.GATEWAY_TIMEOUT_MS >= config.GATEWAY_KEY_LIFETIME_MARGIN_MS)
    problems.push('GATEWAY_TIMEOUT_MS must be less than GATEWAY_KEY_LIFETIME_MARGIN_MS');
  if (config.PAYMENT_LEASE_MS >= lastSendMs)
    problems.push(
      'PAYMENT_LEASE_MS must be less than GATEWAY_KEY_LIFETIME_MS - GATEWAY_KEY_LIFETIME_MARGIN_MS',
    );
  if (config.PAYMENT_BACKOFF_BASE_MS > config.PAYMENT_BACKOFF_MAX_MS)
    problems.push('PAYMENT_BACKOFF_BASE_MS must not be more than PAYMENT_BACKOFF_MAX_MS');
  return problems;
}

/** `fetch` throws for any other before it sends anything, and every payment would wait for an outcome that never was. */
function isCallable(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
}
