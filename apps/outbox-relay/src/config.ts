import {
  databaseConfig,
  kafkaConfig,
  kafkaSecurity,
  loadConfig,
  serviceConfig,
} from '@orders/service-runtime';
import { type Static, Type } from 'typebox';

/** The Kafka clients to choose from: the usual one, and one that costs less CPU. */
export const publisherNames = ['kafkajs', 'platformatic'] as const;

const Config = Type.Object({
  ...serviceConfig,
  ...databaseConfig,
  /** Leases, reads, marks and LISTEN each keep one. */
  DATABASE_POOL_MAX: Type.Integer({ default: 10, minimum: 4, maximum: 1000 }),
  ...kafkaConfig,
  /** The Kafka client that events are published with. */
  PUBLISHER: Type.Enum([...publisherNames], { default: 'kafkajs' }),
  /** How long a relay may be silent before the others take its buckets. */
  RELAY_LEASE_MS: Type.Integer({ default: 10_000, minimum: 500 }),
  /** Longest wait for new events when no wake-up comes. */
  RELAY_POLL_INTERVAL_MS: Type.Integer({ default: 500, minimum: 10 }),
  /** Events of one bucket that are published at once, at most. */
  RELAY_BATCH_SIZE_MAX: Type.Integer({ default: 500, minimum: 1, maximum: 5000 }),
  /** How long published events stay in the table, counted from the end of their partition. */
  RELAY_RETENTION_MS: Type.Integer({ default: 604_800_000, minimum: 3_600_000 }),
  /** Time that a partition of the table covers: whole minutes. */
  RELAY_PARTITION_WIDTH_MS: Type.Integer({ default: 86_400_000, minimum: 60_000, multipleOf: 60_000 }),
  /** Partitions that are made in advance. */
  RELAY_PARTITIONS_AHEAD: Type.Integer({ default: 7, minimum: 1, maximum: 100 }),
});

/** What the relay is told by its environment. */
export type RelayConfig = Readonly<Static<typeof Config>>;

/** The environment, validated and frozen. @throws ConfigError naming every problem */
export function readConfig(): RelayConfig {
  const config = loadConfig(Config);
  kafkaSecurity(config); // refused now, not when the broker is reached
  return config;
}
