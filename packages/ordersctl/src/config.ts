import { databaseConfig, kafkaConfig, loadConfig } from '@orders/service-runtime';
import { Type } from 'typebox';

const { DATABASE_URL } = databaseConfig;

/** For the commands that use the database. @throws ConfigError naming what is missing */
export const readDatabaseConfig = () => loadConfig(Type.Object({ DATABASE_URL }));

const TopicsConfig = Type.Object({
  ...kafkaConfig,
  /** Copies of each partition; the broker's default when absent. */
  TOPICS_REPLICATION_FACTOR: Type.Optional(Type.Integer({ minimum: 1, maximum: 32_767 })),
});

/** For `topics apply`. @throws ConfigError naming everything that is missing or makes no sense */
export const readTopicsConfig = () => loadConfig(TopicsConfig);
